// What the two JavaScript clients share: the command line, the calls, the printed document.
//
//   node SCRIPT ERA http URL TOKEN < calls.json
//   node SCRIPT ERA stdio COMMAND [ARG]... < calls.json
//
// A call: { "name", "arguments", "cancelAfterMs"? }
// Printed: { "protocol", "tools": [...], "results": [{ "result" | "error", "progress": [...] }] }

import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** Loads a module out of the folder of real parts, which is not above this file. */
export const need = createRequire(join(process.env.PORTOLAN_PARTS, "npm", "package.json"));

export function commandLine() {
  const [era, kind, ...rest] = process.argv.slice(2);
  if (kind === "http") {
    const [url, token] = rest;
    return { era, url: new URL(url), headers: token ? { Authorization: `Bearer ${token}` } : {} };
  }
  const [command, ...args] = rest;
  return { era, process: { command, args, env: process.env, stderr: "ignore" } };
}

export async function run({ client, transport, call }) {
  const calls = JSON.parse(await text(process.stdin));
  await client.connect(transport);
  const tools = await listTools(client);
  const results = [];
  for (const one of calls) {
    results.push(await perform(one, call));
  }
  const protocol = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null;
  await transport.terminateSession?.();
  await client.close();
  await print({ protocol, tools, results });
}

async function listTools(client) {
  const tools = [];
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor });
    tools.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return tools;
}

async function perform({ cancelAfterMs, ...params }, call) {
  const progress = [];
  const options = { onprogress: (event) => progress.push(event), timeout: 60_000 };
  if (cancelAfterMs !== undefined) {
    const controller = new AbortController();
    setTimeout(() => controller.abort("the test cancels"), cancelAfterMs);
    options.signal = controller.signal;
  }
  try {
    return { result: await call(params, options), progress };
  } catch (error) {
    return { error: { code: error.code ?? null, message: error.message }, progress };
  }
}

function print(document) {
  return new Promise((done) => process.stdout.write(`${JSON.stringify(document)}\n`, done));
}
