"""Prints the claims of Security Event Tokens, one a line, once jwcrypto has verified them against a set of keys.

    python3 parts/pypi/verify.py JWKS_FILE < TOKENS
"""

import json
import os
import sys
from pathlib import Path

parts = Path(os.environ.get("TOCSIN_PARTS", Path(__file__).parents[2] / ".parts"))
sys.path.insert(0, str(parts / "pypi"))

from jwcrypto import jwk, jws  # noqa: E402

keys = jwk.JWKSet.from_json(Path(sys.argv[1]).read_text())
for line in sys.stdin:
    token = jws.JWS()
    token.allowed_algs = ["RS256"]
    token.deserialize(line.strip())
    header = token.jose_header
    assert header["typ"] == "secevent+jwt", header
    key = keys.get_key(header["kid"])
    assert key["kty"] == "RSA" and jwk.JWK.thumbprint(key) == header["kid"], header
    token.verify(key)
    print(json.dumps(json.loads(token.payload)))
