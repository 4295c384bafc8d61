"""Says which secrets each recorded webhook verifies with, by the Standard Webhooks library of PyPI (which knows `v1` alone).

    PYTHONPATH=.parts/pypi python3 parts/pypi/judge.py < '{"secrets": [...], "requests": [{"headers", "body"}]}'

Prints one JSON line a request: {"v1": [places of the secrets in the list]}.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

asked = json.load(sys.stdin)


def verifies(secret, request):
    try:
        Webhook(secret).verify(request["body"], request["headers"])
    except WebhookVerificationError:
        return False
    return True


for request in asked["requests"]:
    print(json.dumps({"v1": [i for i, secret in enumerate(asked["secrets"]) if verifies(secret, request)]}))
