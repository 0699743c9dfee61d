"""A workload asks for a token, its resource server introspects it, the workload revokes it: requests_oauth2client."""

import json
import os
from pathlib import Path

from jwskate import Jwk
from requests_oauth2client import InvalidScope, OAuth2Client, PrivateKeyJwt

env = os.environ
pem = Path(env["JITNEY_KEY_FILE"]).read_text()
audience_pem = Path(env["JITNEY_AUDIENCE_KEY_FILE"]).read_text()
# Plain HTTP must be asked for; it is none where the broker is reached by TLS.
testing = env["JITNEY_URL"].startswith("http:")


def tell(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


# shown in docs/clients.md
issuer = env["JITNEY_URL"]
# It insists on a `kid`: the workload's JWK set must name the key so too.
key = Jwk.from_pem(pem, kid=env["JITNEY_KEY_ID"])
client = OAuth2Client.from_discovery_endpoint(
    issuer=issuer,
    auth=PrivateKeyJwt(env["JITNEY_WORKLOAD"], key, alg=env["JITNEY_ALG"], aud=issuer),
    testing=testing,
)
token = client.client_credentials(
    scope="orders:read orders:write", task=env["TASK"], resource=env["JITNEY_AUDIENCE"]
)
# end

tell("discovered", issuer=client.issuer, token_endpoint=client.token_endpoint, jwks_uri=client.jwks_uri)
tell("token", **token.as_dict())

server = OAuth2Client.from_discovery_endpoint(
    issuer=issuer,
    auth=PrivateKeyJwt(env["JITNEY_AUDIENCE"], Jwk.from_pem(audience_pem, kid="api"), alg="ES256", aud=issuer),
    testing=testing,
)
tell("introspected", **server.introspect_token(token))

assert client.revoke_access_token(token)
tell("revoked")
tell("introspected", **server.introspect_token(token))

try:
    client.client_credentials(scope="orders:purge", task=env["TASK"], resource=env["JITNEY_AUDIENCE"])
except InvalidScope as error:
    tell("refused", status=error.response.status_code, error=error.error, description=error.description)
