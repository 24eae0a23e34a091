// A server of the official TypeScript SDK, version 1, over HTTP, whose tool asks without saying for which call: the SDK sends
// the question on the GET stream of the session. With `json`, calls are answered in JSON.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { need } from "../clients/run.mjs";

const { McpServer } = need("@modelcontextprotocol/sdk/server/mcp.js");
const { StreamableHTTPServerTransport } = need("@modelcontextprotocol/sdk/server/streamableHttp.js");

const enableJsonResponse = process.argv[2] === "json";
const transports = new Map();

function asker() {
  const mcp = new McpServer({ name: "asks", version: "1.0.0" });
  mcp.registerTool("ask", { description: "Asks who calls." }, async () => {
    const requestedSchema = { type: "object", properties: { name: { type: "string" } } };
    const answer = await mcp.server.elicitInput({ message: "who?", requestedSchema });
    return { content: [{ type: "text", text: `${answer.action} ${answer.content?.name}` }] };
  });
  return mcp;
}

async function transportOf(id) {
  const known = id && transports.get(id);
  if (known) return known;
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    enableJsonResponse,
    onsessioninitialized: (session) => transports.set(session, transport),
  });
  await asker().connect(transport);
  return transport;
}

const server = createServer(async (request, response) => {
  const transport = await transportOf(request.headers["mcp-session-id"]);
  await transport.handleRequest(request, response);
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}/mcp`));
