"""What a client can be told to do: see operations.mjs, of which this is the same in Python."""

from contextlib import AsyncExitStack

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError

LEVEL = "io.modelcontextprotocol/logLevel"
LIMIT = 30
LISTS = {
    "tools": ("list_tools", "tools"),
    "prompts": ("list_prompts", "prompts"),
    "resources": ("list_resources", "resources"),
    "templates": ("list_resource_templates", "resource_templates"),
}


class Operations:
    def __init__(self, answers):
        self.answers = answers
        self.client = None
        self.is_modern = False
        self.level = None
        self.watched = []
        self.listening = None
        self.progress, self.logs, self.asked = [], [], []
        # How often something was told to have changed, by its name or URI.
        self.told = {}

    def callbacks(self):
        """What is handed to the client when it is made."""
        heard = {"logging_callback": self.log, "message_handler": self.hear}
        if self.answers is None:
            return heard
        return heard | {
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.list_roots,
        }

    def use(self, client):
        self.client = client
        self.is_modern = client.protocol_version == "2026-07-28"

    async def close(self):
        if self.listening is not None:
            await self.listening.aclose()

    async def perform(self, operation):
        self.progress, self.logs, self.asked = [], [], []
        rest = dict(operation)
        work = getattr(self, "do_" + rest.pop("do"))
        wanted_logs = rest.get("logs", 0)
        outcome = {"error": {"code": None, "message": "cancelled" if "cancelAfterMs" in rest else "no end"}}
        with anyio.move_on_after(rest.pop("cancelAfterMs", LIMIT * 1000) / 1000):
            try:
                outcome = {"result": await work(**rest)}
            except MCPError as error:
                outcome = {"error": {"code": error.code, "message": str(error)}}
            except Exception as error:
                outcome = {"error": {"code": None, "message": f"{type(error).__name__}: {error}"}}
        await wait(lambda: len(self.logs) >= wanted_logs, 3)
        return outcome | {"progress": self.progress, "logs": self.logs, "asked": self.asked}

    async def do_list(self, what):
        method, member = LISTS[what]
        entries, cursor = [], None
        while True:
            page = await getattr(self.client, method)(cursor=cursor)
            entries.extend(raw(entry) for entry in getattr(page, member))
            cursor = page.next_cursor
            if cursor is None:
                return entries

    async def do_call(self, name, arguments=None, logs=0):
        async def note(value, total, message):
            event = {"progress": value, "total": total, "message": message}
            self.progress.append({key: value for key, value in event.items() if value is not None})

        meta = {LEVEL: self.level} if self.level and self.is_modern else None
        return raw(await self.client.call_tool(name, arguments, progress_callback=note, meta=meta))

    async def do_prompt(self, name, arguments=None):
        return raw(await self.client.get_prompt(name, arguments))

    async def do_read(self, uri):
        return raw(await self.client.read_resource(uri))

    async def do_complete(self, ref, argument, context=None):
        kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
        known = None if context is None else context["arguments"]
        return raw(await self.client.complete(kind.model_validate(ref), argument, known))

    async def do_ping(self):
        return raw(await self.client.send_ping())

    async def do_level(self, level):
        self.level = level
        if not self.is_modern:
            await self.client.set_logging_level(level)
        return {}

    async def do_watch(self, uris):
        self.watched = uris
        if not self.is_modern:
            for uri in uris:
                await self.client.subscribe_resource(uri)
            return {}
        self.listening = AsyncExitStack()
        every = {f"{what}_list_changed": True for what in ("tools", "prompts", "resources")}
        await self.listening.enter_async_context(self.client.listen(**every, resource_subscriptions=uris))
        return {}

    async def do_unwatch(self):
        if self.is_modern:
            await self.listening.aclose()
            self.listening = None
        else:
            for uri in self.watched:
                await self.client.unsubscribe_resource(uri)
        return {}

    async def do_stir(self, call, until, shows=None, tries=15):
        before = self.told.get(until, 0)

        def is_told():
            return self.told.get(until, 0) > before

        calls = 0
        while not is_told() and calls < tries:
            await self.do_call(**call)
            calls += 1
            await wait(is_told, 1)
        if not is_told():
            raise RuntimeError(f"nothing was told of {until} in {calls} calls")
        if shows is not None:
            there = any(entry["name"] == shows["name"] for entry in await self.do_list(shows["what"]))
            if there != (calls % 2 == 1):
                raise RuntimeError(f"after {calls} calls, {shows['name']} is {'' if there else 'not '}there")
        return {}

    async def elicit(self, context, params):
        self.ask(params)
        forms = self.answers["elicit"]
        return types.ElicitResult.model_validate(forms.get(params.message, forms["*"]))

    async def sample(self, context, params):
        self.ask(params)
        return types.CreateMessageResult.model_validate(self.answers["sample"])

    async def list_roots(self, context):
        self.asked.append({})
        return types.ListRootsResult.model_validate({"roots": self.answers["roots"]})

    def ask(self, params):
        asked = raw(params)
        asked.pop("_meta", None)
        self.asked.append(asked)

    async def log(self, params):
        message = {"level": params.level, "logger": params.logger, "data": params.data}
        self.logs.append({key: value for key, value in message.items() if value is not None})

    async def hear(self, message):
        method = getattr(message, "method", "")
        if method == "notifications/resources/updated":
            self.note(str(message.params.uri))
        elif method.endswith("/list_changed"):
            self.note(method.split("/")[1])

    def note(self, what):
        self.told[what] = self.told.get(what, 0) + 1


def raw(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def wait(condition, limit):
    with anyio.move_on_after(limit):
        while not condition():
            await anyio.sleep(0.01)
