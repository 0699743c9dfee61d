"""A resource server that verifies tokens with joserfc. Takes lines of a name and a token."""

import json
import os
import sys

import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

issuer, audience = os.environ["JITNEY_URL"], os.environ["JITNEY_AUDIENCE"]

# shown in docs/clients.md
# At start, and every ten minutes from then on: jitney publishes each key at least that long before it signs.
keys = KeySet.import_key_set(requests.get(f"{issuer}/oauth2/jwks", timeout=10).json())
claims = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": issuer},
    aud={"essential": True, "value": audience},
    exp={"essential": True},
    sub={"essential": True},
    scope={"essential": True},
)


def verify(token):
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    if decoded.header.get("typ") != "at+jwt":
        raise ValueError("not an access token")
    claims.validate(decoded.claims)
    return decoded.claims
# end


for line in sys.stdin:
    name, token = line.split()
    try:
        outcome = {"accepted": True, "claims": verify(token)}
    except (JoseError, ValueError) as error:
        outcome = {"accepted": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"name": name, **outcome}), flush=True)
