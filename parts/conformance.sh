#!/usr/bin/env bash
# The MCP conformance suite, and the Node 22 that it needs, from npm. `.parts/conformance/`
. "$(dirname "$0")/lib.sh"

under_lock conformance npm_part conformance "the MCP conformance suite is"
