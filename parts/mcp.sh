#!/usr/bin/env bash
# The official MCP client in TypeScript, from npm. `.parts/mcp/`
. "$(dirname "$0")/lib.sh"

under_lock mcp npm_part mcp "the MCP client is"
