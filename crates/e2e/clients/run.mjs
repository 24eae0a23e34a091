// What the two JavaScript clients share: the command line, the operations, the printed document.
//
//   node SCRIPT ERA http URL TOKEN < script.json
//   node SCRIPT ERA stdio COMMAND [ARG]... < script.json
//
// A script: { "answers"?, "operations": [{ "do", ... }] }; the operations are in `operations.mjs`. With answers, the client
// says that it can be asked, and answers with them.
// Printed: { "protocol", "outcomes": [{ "result" | "error", "progress", "logs", "asked" }] }, one for each operation.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { Operations } from "./operations.mjs";

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

export async function script() {
  return JSON.parse(await text(process.stdin));
}

/** What a client with these answers says of itself. */
export function capabilities(answers) {
  return answers ? { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } } : {};
}

/**
 * `dialect` is what the two clients have different names for: how handlers are set, how tools are called, and, where it can,
 * how the client listens.
 */
export async function run({ client, transport, script, dialect }) {
  const operations = new Operations(client, dialect, script.answers);
  await client.connect(transport);
  const protocol = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null;
  operations.isModern = protocol === "2026-07-28";
  const outcomes = [];
  for (const operation of script.operations) {
    outcomes.push(await operations.perform(operation));
  }
  await transport.terminateSession?.();
  await client.close();
  await print({ protocol, outcomes });
}

function print(document) {
  return new Promise((done) => process.stdout.write(`${JSON.stringify(document)}\n`, done));
}
