"""The official Python SDK, version 2: both eras.

python mcp2.py ERA http URL TOKEN < script.json
python mcp2.py ERA stdio COMMAND [ARG]... < script.json

Scripts and the printed document: see run.mjs.
"""

import json
import os
import sys
import warnings
from contextlib import asynccontextmanager

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from operations import Operations

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


async def main():
    era, kind, *rest = sys.argv[1:]
    script = json.load(sys.stdin)
    operations = Operations(script.get("answers"))
    async with target(kind, rest) as server, Client(server, mode=MODES[era], **operations.callbacks()) as client:
        operations.use(client)
        outcomes = [await operations.perform(operation) for operation in script["operations"]]
        await operations.close()
    print(json.dumps({"protocol": client_version(operations), "outcomes": outcomes}))


def client_version(operations):
    return "2026-07-28" if operations.is_modern else "legacy"


def leaves(error):
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


# What has been deprecated is what is to be tried out.
warnings.simplefilter("ignore")
try:
    anyio.run(main)
except BaseException as error:
    for leaf in leaves(error):
        print(f"{type(leaf).__name__}: {leaf}", file=sys.stderr)
    sys.exit(1)
