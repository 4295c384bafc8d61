#!/usr/bin/env bash
# Peers that share no code with Tocsin, from npm: verifiers of webhooks, events, schemas and JOSE, and a TOTP generator. `.parts/peers/`
. "$(dirname "$0")/lib.sh"

under_lock peers npm_part peers "peers are"
