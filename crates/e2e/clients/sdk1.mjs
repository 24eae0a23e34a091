// The official TypeScript SDK, version 1: legacy only.

import { capabilities, commandLine, need, run, script } from "./run.mjs";

const { Client } = need("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = need("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = need("@modelcontextprotocol/sdk/client/streamableHttp.js");
const types = need("@modelcontextprotocol/sdk/types.js");

const schemas = {
  "elicitation/create": types.ElicitRequestSchema,
  "sampling/createMessage": types.CreateMessageRequestSchema,
  "roots/list": types.ListRootsRequestSchema,
  "notifications/message": types.LoggingMessageNotificationSchema,
  "notifications/resources/updated": types.ResourceUpdatedNotificationSchema,
  "notifications/tools/list_changed": types.ToolListChangedNotificationSchema,
  "notifications/prompts/list_changed": types.PromptListChangedNotificationSchema,
  "notifications/resources/list_changed": types.ResourceListChangedNotificationSchema,
};

const target = commandLine();
if (target.era !== "legacy") {
  throw new Error(`this client cannot speak the ${target.era} era`);
}
const given = await script();
const client = new Client({ name: "sdk1", version: "1.0.0" }, { capabilities: capabilities(given.answers) });
const transport = target.url
  ? new StreamableHTTPClientTransport(target.url, { requestInit: { headers: target.headers } })
  : new StdioClientTransport(target.process);

await run({
  client,
  transport,
  script: given,
  dialect: {
    call: (params, options) => client.callTool(params, undefined, options),
    task: async (params) => {
      const seen = [];
      for await (const message of client.experimental.tasks.callToolStream(params)) {
        if (message.type === "error") {
          throw message.error;
        }
        seen.push(message.type === "taskStatus" ? message.task.status : message.type);
        if (message.type === "result") {
          return { ...message.result, seen };
        }
      }
      throw new Error("the stream of the task ended without a result");
    },
    onRequest: (method, answer) => client.setRequestHandler(schemas[method], ({ params }) => answer(params ?? {})),
    onNotification: (method, note) => client.setNotificationHandler(schemas[method], ({ params }) => note(params ?? {})),
  },
});
