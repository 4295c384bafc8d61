"""A mail server that keeps what it is sent, by aiosmtpd. It wants STARTTLS and a password before it takes a letter.

    PYTHONPATH=.parts/pypi python3 parts/pypi/smtp.py PORT CERTIFICATE KEY LOG

Writes one JSON object a letter to LOG: to whom (`rcpt`), whether by TLS, the headers as `email` parses them, and the text. It refuses
whoever's address begins with `gone`.
"""

import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, certificate, key, log = sys.argv[1:]


class Keeper:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        kept = {
            "rcpt": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "headers": [[name, str(value)] for name, value in letter.items()],
            "text": letter.get_content(),
        }
        with open(log, "a", encoding="utf-8") as out:
            out.write(json.dumps(kept) + "\n")
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"tocsin", b"mail-secret"), handled=False)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
Controller(
    Keeper(),
    hostname="127.0.0.1",
    port=int(port),
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    authenticator=known,
).start()
while True:
    time.sleep(3600)
