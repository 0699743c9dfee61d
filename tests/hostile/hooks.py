"""What schemathesis does not know of jitney: how a client signs an assertion that counts once, and what it may ask for.

Most calls are given a fresh assertion, so that they get behind the authentication; of those that keep to the schema, most
are made wholly good: names that exist, leases and tasks of the moment. A wholly good call must succeed, which is a check
of its own here. All other calls stay as they were generated. What was called, and how it was answered, is counted into a
file, so that the test that drives this knows that every operation was reached.

The settings come by the environment: JITNEY_TRY_URL, JITNEY_TRY_ISSUER, JITNEY_TRY_KEYS (a folder of PKCS#8 PEM files),
JITNEY_TRY_COUNTS (the file of counts), JITNEY_TRY_SEED.
"""

import atexit
import base64
import collections
import itertools
import json
import os
import pathlib
import random
import time

import requests
import schemathesis
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from schemathesis import GenerationMode

URL = os.environ["JITNEY_TRY_URL"]
ISSUER = os.environ["JITNEY_TRY_ISSUER"]
KEYS = pathlib.Path(os.environ["JITNEY_TRY_KEYS"])
COUNTS = pathlib.Path(os.environ["JITNEY_TRY_COUNTS"])
CHANCE = random.Random(int(os.environ["JITNEY_TRY_SEED"]))

API = "https://api.example.com"
WORKLOAD = "demo"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NUMBER = itertools.count()
SIGNERS = {
    WORKLOAD: serialization.load_pem_private_key((KEYS / "demo.pem").read_bytes(), None),
    API: serialization.load_pem_private_key((KEYS / "api.pem").read_bytes(), None),
}

good = set()
counts = collections.Counter()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion(client):
    """A client assertion (RFC 7523), signed by ES256."""
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": f"try-{next(NUMBER)}"}
    parts = [b64(json.dumps(part).encode()) for part in ({"alg": "ES256"}, claims)]
    message = ".".join(parts)
    r, s = utils.decode_dss_signature(SIGNERS[client].sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{message}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def authentication(client):
    return {"client_assertion_type": TYPE, "client_assertion": assertion(client)}


def grant():
    """What a good request asks for."""
    return {"grant_type": "client_credentials", "task": f"try-{next(NUMBER)}", "resource": API, "scope": "orders:read"}


def mint():
    """A token of a task of its own."""
    answer = requests.post(f"{URL}/oauth2/token", data={**grant(), **authentication(WORKLOAD)}, timeout=10)
    answer.raise_for_status()
    return answer.json()


def make_good(case):
    """Makes a call that keeps to the schema one that must succeed; false where there is nothing to make good."""
    name = case.operation.definition.raw["operationId"]
    if name == "token":
        case.body = {**grant(), **authentication(WORKLOAD)}
        if CHANCE.random() < 0.5:
            case.body["ttl"] = CHANCE.randint(1, 600)
    elif name in ("introspect", "revoke"):
        client = API if name == "introspect" and CHANCE.random() < 0.7 else WORKLOAD
        case.body = {"token": mint()["access_token"], **authentication(client)}
    elif name == "renew":
        case.path_parameters["id"] = mint()["lease_id"]
        case.body = authentication(WORKLOAD)
    elif name == "complete":
        token = mint()
        case.path_parameters["task"] = token["task"].replace("/", "%2F")
        if CHANCE.random() < 0.5:
            case.headers["Authorization"] = f"Bearer {token['access_token']}"
            case.body = {}
        else:
            case.headers.pop("Authorization", None)
            case.body = authentication(WORKLOAD)
    elif name == "revocations":
        case.query = {"once": "1", **({"audience": API} if CHANCE.random() < 0.5 else {})}
    else:
        return False
    return True


def authenticate(case):
    """Gives a form that has an assertion a fresh one, whatever else is wrong with the form."""
    body = case.body
    if isinstance(body, dict) and body.get("client_assertion_type") == TYPE and isinstance(body.get("client_assertion"), str):
        body["client_assertion"] = assertion(WORKLOAD)


@schemathesis.hook
def before_call(context, case, kwargs):
    mode = case.meta.generation.mode if case.meta else None
    dice = CHANCE.random()
    if case.method.upper() != case.operation.method.upper():
        return
    if mode == GenerationMode.POSITIVE and dice < 0.6 and make_good(case):
        good.add(case.id)
    elif dice < 0.9:
        authenticate(case)
    if case.operation.definition.raw["operationId"] == "revocations" and "once" not in (case.query or {}):
        # The feed goes on for ever, but for its snapshot.
        case.query = {**(case.query or {}), "once": "1"}


@schemathesis.hook
def after_call(context, case, response):
    counts[f"{case.operation.definition.raw['operationId']} {response.status_code}"] += 1


@schemathesis.check
def what_is_good_succeeds(ctx, response, case):
    if case.id in good and response.status_code not in (200, 204):
        raise AssertionError(f"a good call was answered {response.status_code}: {response.text}")


@atexit.register
def tell():
    COUNTS.write_text(json.dumps(counts))
