// The official TypeScript client, version 2: both eras.

import { capabilities, commandLine, need, run, script } from "./run.mjs";

const { Client, StreamableHTTPClientTransport } = need("@modelcontextprotocol/client");
const { StdioClientTransport } = need("@modelcontextprotocol/client/stdio");

const modes = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

const target = commandLine();
const given = await script();
const client = new Client(
  { name: "client2", version: "1.0.0" },
  { capabilities: capabilities(given.answers), versionNegotiation: { mode: modes[target.era] } },
);
const transport = target.url
  ? new StreamableHTTPClientTransport(target.url, { requestInit: { headers: target.headers } })
  : new StdioClientTransport(target.process);

await run({
  client,
  transport,
  script: given,
  dialect: {
    call: (params, options) => client.callTool(params, options),
    onRequest: (method, answer) => client.setRequestHandler(method, ({ params }) => answer(params ?? {})),
    onNotification: (method, note) => client.setNotificationHandler(method, ({ params }) => note(params ?? {})),
  },
});
