"""A resource server that verifies tokens with PyJWT. Takes lines of a name and a token."""

import json
import os
import sys

import jwt

issuer, audience = os.environ["JITNEY_URL"], os.environ["JITNEY_AUDIENCE"]

# shown in docs/clients.md
keys = jwt.PyJWKClient(f"{issuer}/oauth2/jwks")


def verify(token):
    decoded = jwt.decode_complete(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["ES256"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "sub", "scope"]},
    )
    if decoded["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return decoded["payload"]
# end


for line in sys.stdin:
    name, token = line.split()
    try:
        outcome = {"accepted": True, "claims": verify(token)}
    except jwt.PyJWTError as error:
        outcome = {"accepted": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"name": name, **outcome}), flush=True)
