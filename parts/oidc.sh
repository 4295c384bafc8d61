#!/usr/bin/env bash
# oidc-provider, a certified authorization server, from npm. `.parts/oidc/`
. "$(dirname "$0")/lib.sh"

under_lock oidc npm_part oidc "oidc-provider is"
