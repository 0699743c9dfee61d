"""A resource server that follows the feed of revocations with httpx-sse and PyJWT. Takes lines of a name and a token."""

# shown in docs/feed.md
import base64
import hashlib
import json
import os
import sys
import threading
import time

import httpx
import httpx_sse
import jwt

url, issuer, audience = (os.environ[name] for name in ("JITNEY_URL", "JITNEY_ISSUER", "JITNEY_AUDIENCE"))
problems = []

SKEW, SILENCE, MAX_AGE = 5, 5, 10  # seconds: how far clocks may differ, how long a feed may be silent, how old a view may be
keys, kids, rules, epoch, left, position, after = {}, set(), {}, None, set(), 0, 0
told, heard, latest = 0.0, float("-inf"), 0.0  # what the view is as young as: by the broker's clock, by this machine's


def digest(kind, *parts):
    text = "\0".join((kind, *parts)).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()[:16]).rstrip(b"=").decode()


def now():  # never runs back
    global latest
    latest = max(latest, time.time())
    return latest


def need(holds, what):
    if not holds:
        raise ValueError(what)


def fetch_keys():
    found = jwt.PyJWKSet.from_dict(httpx.get(f"{url}/oauth2/jwks", timeout=SILENCE).raise_for_status().json()).keys
    keys.update({key.key_id: key for key in found})


def open_jws(text, typ):
    header = jwt.get_unverified_header(text)
    kid = header.get("kid")
    need(header.get("typ") == typ and kid in keys and digest("key", kid) not in rules, "type or key")
    options = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(text, keys[kid], algorithms=["ES256"], issuer=issuer, options=options)
    need(-SKEW <= now() - claims["iat"] <= SKEW + MAX_AGE, "made long ago, or in the future: compare the clocks")
    return kid, claims


def add(known, more):
    for kind, name, place, until in more:
        before, lasts = known.get(name, (0, 0))
        known[name] = (max(before, place), float("inf") if until is None else max(lasts, until))


def follow(cursor):  # yields the cursor after each event that holds against those before it; raises where one does not
    global kids, rules, epoch, position, after, told, heard
    headers, count, snapshot = ({"Last-Event-ID": cursor} if cursor else {}), 0, None
    with httpx.Client(timeout=SILENCE) as http, httpx_sse.connect_sse(
        http, "GET", f"{url}/v1/revocations", params={"audience": audience}, headers=headers
    ) as source:
        source.response.raise_for_status()
        for event in source.iter_sse():
            name, begun = event.event, time.monotonic()
            data = None if name == "snapshot" else json.loads(event.data)
            if name == "snapshot":
                if jwt.get_unverified_header(event.data).get("kid") not in keys:
                    fetch_keys()
                kid, snapshot = open_jws(event.data, "revocations+jwt")
                need(kid in snapshot["kids"] and snapshot.get("audience") == audience, "another's snapshot")
                need(snapshot["epoch"] not in left, "an epoch that is over")
                need(snapshot["epoch"] != epoch or snapshot["position"] >= after, "a view does not go back")
                parts, fresh, before = list(snapshot["parts"]), dict(rules if snapshot["epoch"] == epoch else {}), count
            elif name == "part":
                hashed = base64.urlsafe_b64encode(hashlib.sha256(event.data.encode()).digest()).rstrip(b"=").decode()
                need(snapshot and parts and parts.pop(0) == hashed, "not the next part")
                add(fresh, data["rules"])
                count += len(data["rules"])
            elif name == "revoke":
                places = [after] + [rule[2] for rule in data["rules"]]
                need(not snapshot and data["after"] == after and places == sorted(set(places)), "a gap")
                add(rules, data["rules"])
                after, count, position = places[-1], count + len(data["rules"]), max(position, places[-1])
            elif name == "keys":
                kids = set(data["kids"])
                if kids - keys.keys():
                    fetch_keys()
            elif name == "heartbeat":
                need(not snapshot and data["count"] == count and data["position"] >= position, "rules are missing")
                need(data["now"] / 1000 <= now() + SKEW, "a heartbeat from the future")
                position, told, heard = data["position"], max(told, data["now"] / 1000), begun
                for past in [each for each, (_, until) in rules.items() if until + 30 < now()]:
                    del rules[past]
            if snapshot and not parts:
                need(count - before == snapshot["count"], "rules are missing")
                left.update({epoch} - {snapshot["epoch"]})
                # Keys first: a new epoch's rules say nothing of the old one's tokens.
                kids, rules, epoch = set(snapshot["kids"]), fresh, snapshot["epoch"]
                position = after = snapshot["position"]
                told, heard, snapshot = max(told, snapshot["iat"]), begun, None
                if kids - keys.keys():
                    fetch_keys()
            if not snapshot and name in ("snapshot", "part", "revoke", "heartbeat"):
                yield event.id


def keep_following():
    cursor = None
    while True:
        try:
            for cursor in follow(cursor):
                pass
        except (ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            problems.append(str(error))
            cursor = None  # what was refused is not gone on from
        except httpx.HTTPError as error:
            problems.append(str(error))
        time.sleep(0.2)


def age():
    return max(time.monotonic() - heard, now() - told)


def verify(token):
    known = rules  # before the keys: those of a new epoch are there before its rules
    kid, claims = open_jws(token, "at+jwt")
    need(kid in kids, "a key that does not count")
    need(claims["aud"] == audience and claims["nbf"] <= now() + SKEW and claims["exp"] > now(), "claims")
    sub, names, actor = claims["sub"], claims["txn"].split("/"), claims.get("act")
    selectors = [digest("lease", claims["jti"]), digest("audience", audience), digest("all"), digest("workload", sub)]
    selectors += [digest("task", sub, "/".join(names[: end + 1])) for end in range(len(names))]
    while actor:
        selectors.append(digest("workload", actor["sub"]))
        actor = actor.get("act")
    need(all(known.get(each, (0, 0))[0] <= claims["rev"] for each in selectors), "revoked")
    need(age() <= MAX_AGE, "the view is too old")
    return claims


threading.Thread(target=keep_following, daemon=True).start()
# end

for line in sys.stdin:
    name, token = line.split()
    if name == "view":  # and the place that it is to reach: an epoch and a position
        wanted, place = token.split(":")
        while epoch != wanted or position < int(place):
            time.sleep(0.005)
        seen = {"epoch": epoch, "position": position, "rules": len(rules), "problems": problems}
        print(json.dumps({"name": name, **seen}), flush=True)
        continue
    try:
        outcome = {"accepted": True, "claims": verify(token)}
    except (ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
        outcome = {"accepted": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"name": name, **outcome}), flush=True)
