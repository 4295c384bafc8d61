"""Makes a signing key and signs tokens with it, by jwcrypto.

    PYTHONPATH=.parts/pypi python3 parts/pypi/mint.py < '{"claims": [{...}, ...]}'

Prints one JSON object: {"jwks": {"keys": [public half]}, "tokens": [one for each set of claims]}.
"""

import json
import sys

from jwcrypto import jwk, jwt

key = jwk.JWK.generate(kty="RSA", size=2048, kid="test", use="sig", alg="RS256")


def signed(claims):
    token = jwt.JWT(header={"alg": "RS256", "kid": "test", "typ": "at+jwt"}, claims=claims)
    token.make_signed_token(key)
    return token.serialize()


tokens = [signed(claims) for claims in json.load(sys.stdin)["claims"]]
print(json.dumps({"jwks": {"keys": [key.export_public(as_dict=True)]}, "tokens": tokens}))
