"""Asks a policy decision point by the AuthZEN 1.0 client of PyPI's `decern`.

    PYTHONPATH=.parts/pypi python3 parts/pypi/authzen.py URL TOKEN < '[{"subject", "action", "resource", "context"}, ...]'

Prints one JSON line an evaluation: {"allowed", "context"}, or {"status"} where the point answered with an error.
"""

import json
import sys

from decern import Client, DecernError

url, token = sys.argv[1:]
client = Client(url, timeout=30.0, token=token)
for asked in json.load(sys.stdin):
    try:
        decision = client.evaluate(asked["subject"], asked["action"], asked["resource"], asked.get("context"))
        print(json.dumps({"allowed": decision.allowed, "context": decision.context}))
    except DecernError as error:
        print(json.dumps({"status": error.status_code}))
