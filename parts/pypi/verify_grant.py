"""Prints the claims of a grant once jwcrypto has verified it, for this audience, against the published set of keys.

    python3 parts/pypi/verify_grant.py JWKS_FILE AUDIENCE < GRANT
"""

import json
import os
import sys
from pathlib import Path

parts = Path(os.environ.get("TOCSIN_PARTS", Path(__file__).parents[2] / ".parts"))
sys.path.insert(0, str(parts / "pypi"))

from jwcrypto import jwk, jwt  # noqa: E402

keys = jwk.JWKSet.from_json(Path(sys.argv[1]).read_text())
audience = sys.argv[2]
expected = {"iss": audience, "aud": audience, "exp": None, "iat": None, "jti": None, "sub": None}
grant = sys.stdin.read().strip()
token = jwt.JWT(jwt=grant, key=keys, algs=["EdDSA"], expected_type="JWS", check_claims=expected)
header = token.token.jose_header
key = keys.get_key(header["kid"])
assert jwk.JWK.thumbprint(key) == header["kid"], header
print(json.dumps({"header": header, "claims": json.loads(token.claims)}))
