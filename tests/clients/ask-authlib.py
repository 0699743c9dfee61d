"""A workload asks for a token, its resource server introspects it, the workload revokes it: Authlib over requests."""

import json
import os
from pathlib import Path

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import import_key

env = os.environ
pem = Path(env["JITNEY_KEY_FILE"]).read_text()
audience_pem = Path(env["JITNEY_AUDIENCE_KEY_FILE"]).read_text()
kind = {"ES256": "EC", "EdDSA": "OKP"}.get(env["JITNEY_ALG"], "RSA")


def tell(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


# shown in docs/clients.md
session = OAuth2Session(
    env["JITNEY_WORKLOAD"],
    import_key(pem, kind),
    token_endpoint_auth_method="private_key_jwt",
    # Revoking has a setting of its own, which falls back to Basic.
    revocation_endpoint_auth_method="private_key_jwt",
)
metadata = session.get(env["JITNEY_URL"] + "/.well-known/oauth-authorization-server", withhold_token=True).json()
# Its parameter is called token_endpoint and becomes the assertion's `aud`: jitney wants the issuer there.
session.register_client_auth_method(PrivateKeyJWT(metadata["issuer"], alg=env["JITNEY_ALG"]))
token = session.fetch_token(
    metadata["token_endpoint"],
    grant_type="client_credentials",
    task=env["TASK"],
    audience=env["JITNEY_AUDIENCE"],
    scope="orders:read orders:write",
)
# end

tell("discovered", **metadata)
tell("token", **token)

server = OAuth2Session(
    env["JITNEY_AUDIENCE"], import_key(audience_pem, "EC"), token_endpoint_auth_method="private_key_jwt"
)
server.register_client_auth_method(PrivateKeyJWT(metadata["issuer"], alg="ES256"))


def introspect():
    answer = server.introspect_token(metadata["introspection_endpoint"], token["access_token"])
    answer.raise_for_status()
    return answer.json()


tell("introspected", **introspect())

session.revoke_token(metadata["revocation_endpoint"], token["access_token"]).raise_for_status()
tell("revoked")
tell("introspected", **introspect())

try:
    session.fetch_token(
        metadata["token_endpoint"],
        grant_type="client_credentials",
        task=env["TASK"],
        audience=env["JITNEY_AUDIENCE"],
        scope="orders:purge",
    )
except OAuthError as error:
    tell("refused", error=error.error, description=error.description)
