"""An agent that outlives its own death: it keeps what it waits for in a file, waits by long poll through whatever breaks, and does its act once.

    python3 parts/pypi/http_agent.py FILE URL TOKEN < RECORD

Prints a JSON line once it is blocked and one once it is let go on. Standard library alone.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

path, url, token = sys.argv[1:]
record = sys.stdin.read().encode()


def ask(to, body=None, **headers):
    """Status and body of an answer; tried until there is one that says yes or no."""
    while True:
        request = urllib.request.Request(to, body, {"Authorization": f"Bearer {token}", **headers})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            told = answer.read()
            # A server that stumbles, or a score that comes late.
            if answer.code < 500 and b"score_required" not in told:
                return answer.code, json.loads(told)
        except (OSError, ValueError):
            pass
        time.sleep(0.1)


def keep(state):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)


def say(**what):
    print(json.dumps(what), flush=True)


try:
    with open(path, encoding="utf-8") as file:
        state = json.load(file)
except FileNotFoundError:
    status, challenge = ask(url + "/v1/gate", record)
    assert status == 401, challenge
    state = {"status_url": challenge["status_url"], "resume_id": f"attempt-{time.time_ns()}"}
    keep(state)
    say(blocked=challenge)

while True:
    _, told = ask(state["status_url"] + "?wait=5")
    if told["status"] != "pending":
        break
assert told["status"] == "approved", told
grant = {"Tocsin-Grant": told["grant"]["token"], "Tocsin-Resume-Id": state["resume_id"]}
status, resumed = ask(url + "/v1/gate", record, **grant)
say(resumed=resumed, status=status, resume_id=state["resume_id"], grant=told["grant"]["token"])
