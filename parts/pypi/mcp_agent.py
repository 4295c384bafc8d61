"""An agent by the official MCP SDK of PyPI that asks the gate and shows its human the address it is given.

    PYTHONPATH=.parts/pypi python3 parts/pypi/mcp_agent.py URL TOKEN < RECORD

Prints one JSON line for each thing that happens: {"tools"}, {"elicited": address, "message"}, {"result", "is_error"}.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

url, token = sys.argv[1:]
record = json.load(sys.stdin)


def say(**what):
    print(json.dumps(what), flush=True)


async def show(_context, asked):
    say(elicited=asked.url, message=asked.message)
    return ElicitResult(action="accept")


async def main():
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, elicitation_callback=show) as client:
            say(tools=[tool.name for tool in (await client.list_tools()).tools])
            result = await client.call_tool("gate", {"record": record})
            say(result=result.structured_content, is_error=bool(result.is_error))


asyncio.run(main())
