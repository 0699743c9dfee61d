"""An issuer that nobody here wrote: oidc-provider-mock. USERS are claim sets, each with a `sub` of its own. A line in says
whose claims a token shall hold, and for which client; a line out is the ID token of such a login, each step over HTTP."""

import json
import os
import sys
from urllib.parse import parse_qs, quote, urlsplit

import requests
from oidc_provider_mock import User, run_server_in_thread

# Of this very process: the login goes over plain HTTP on the loopback.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
BACK = "https://client.example.com/back"


def tell(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


def log_in(issuer, sub, client):
    endpoints = requests.get(f"{issuer}/.well-known/openid-configuration").json()
    asked = {"client_id": client, "redirect_uri": BACK, "response_type": "code", "scope": "openid"}
    answer = requests.post(
        endpoints["authorization_endpoint"], params=asked, data={"sub": sub}, allow_redirects=False
    )
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    answer = requests.post(endpoints["token_endpoint"], data=form, auth=(quote(client, safe=""), "any"))
    answer.raise_for_status()
    return answer.json()["id_token"]


users = [User(sub=claims.pop("sub"), claims=claims) for claims in json.loads(os.environ["USERS"])]
with run_server_in_thread(user_claims=users) as server:
    issuer = f"http://127.0.0.1:{server.server_port}"
    tell("listening", issuer=issuer)
    for line in sys.stdin:
        asked = json.loads(line)
        tell("token", token=log_in(issuer, asked["sub"], asked["aud"]))
