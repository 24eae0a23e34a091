"""The official Python SDK, version 2: both eras.

python mcp2.py ERA http URL TOKEN < calls.json
python mcp2.py ERA stdio COMMAND [ARG]... < calls.json

Calls and the printed document: see run.mjs.
"""

import json
import os
import sys
from contextlib import asynccontextmanager

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


@asynccontextmanager
async def target(kind, rest):
    if kind == "http":
        url, token = rest
        headers = {"Authorization": f"Bearer {token}"} if token else None
        async with create_mcp_http_client(headers=headers) as http:
            yield streamable_http_client(url, http_client=http)
    else:
        yield StdioServerParameters(command=rest[0], args=rest[1:], env=dict(os.environ))


async def list_tools(client):
    tools, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools.extend(raw(tool) for tool in page.tools)
        cursor = page.next_cursor
        if cursor is None:
            return tools


async def perform(client, call):
    progress = []

    async def note(value, total, message):
        event = {"progress": value, "total": total, "message": message}
        progress.append({key: value for key, value in event.items() if value is not None})

    seconds = call.get("cancelAfterMs", 60_000) / 1000
    with anyio.move_on_after(seconds) as scope:
        try:
            result = await client.call_tool(call["name"], call.get("arguments"), progress_callback=note)
            return {"result": raw(result), "progress": progress}
        except MCPError as error:
            return {"error": {"code": error.code, "message": str(error)}, "progress": progress}
    assert scope.cancelled_caught
    return {"error": {"code": None, "message": "cancelled"}, "progress": progress}


def raw(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    era, kind, *rest = sys.argv[1:]
    calls = json.load(sys.stdin)
    async with target(kind, rest) as server, Client(server, mode=MODES[era]) as client:
        document = {
            "protocol": client.protocol_version,
            "tools": await list_tools(client),
            "results": [await perform(client, call) for call in calls],
        }
    print(json.dumps(document))


def leaves(error):
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


try:
    anyio.run(main)
except BaseException as error:
    for leaf in leaves(error):
        print(f"{type(leaf).__name__}: {leaf}", file=sys.stderr)
    sys.exit(1)
