// The official TypeScript SDK, version 1: legacy only.

import { commandLine, need, run } from "./run.mjs";

const { Client } = need("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = need("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = need("@modelcontextprotocol/sdk/client/streamableHttp.js");

const target = commandLine();
if (target.era !== "legacy") {
  throw new Error(`this client cannot speak the ${target.era} era`);
}
const client = new Client({ name: "sdk1", version: "1.0.0" }, { capabilities: {} });
const transport = target.url
  ? new StreamableHTTPClientTransport(target.url, { requestInit: { headers: target.headers } })
  : new StdioClientTransport(target.process);

await run({ client, transport, call: (params, options) => client.callTool(params, undefined, options) });
