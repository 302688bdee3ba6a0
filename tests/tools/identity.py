"""Verifies tokens with PyJWT, as a service does: one token a line on standard input, its subject or `refused` a line on
standard output. Usage: identity.py URL, the address of the public keys."""
import sys

import jwt

# By default an unknown id leads to another request at most every 30 seconds, which this test does not wait for.
keys = jwt.PyJWKClient(sys.argv[1], cooldown_duration=0)
for line in sys.stdin:
    token = line.strip()
    try:
        claims = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token),
            algorithms=["EdDSA"],
            issuer="keyhouse",
            options={"require": ["exp", "iat", "sub"]},
        )
        print(claims["sub"], flush=True)
    except jwt.PyJWTError as error:
        print("refused", type(error).__name__, file=sys.stderr)
        print("refused", flush=True)
