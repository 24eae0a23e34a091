// What a client can be told to do. Every kind has the same name and the same outcome in `mcp2.py` and `rust_client`.
//
//   list         what: tools | prompts | resources | templates
//   call         name, arguments, cancelAfterMs?, logs?: how many log messages to wait for
//   task         name, arguments: has a call done as a task, where the client has tasks
//   prompt       name, arguments?
//   read         uri
//   complete     ref, argument, context?
//   ping         legacy
//   level        level: of this session, or of the calls that follow
//   watch        uris: these, and all lists
//   unwatch
//   stir         call, until: tools | prompts | resources | a URI, tries?, shows?: { what, name }: calls until told, once a
//                second, and then looks whether the list shows what it should after so many calls

const METHODS = { tools: "listTools", prompts: "listPrompts", resources: "listResources", templates: "listResourceTemplates" };
const MEMBERS = { tools: "tools", prompts: "prompts", resources: "resources", templates: "resourceTemplates" };
const LEVEL = "io.modelcontextprotocol/logLevel";
const LIMIT = 30_000;

export class Operations {
  isModern = false;
  #client;
  #dialect;
  #level;
  #watched = [];
  #listening;
  #progress = [];
  #logs = [];
  #asked = [];
  /** How often something was told to have changed, by its name or URI. */
  #told = new Map();

  constructor(client, dialect, answers) {
    this.#client = client;
    this.#dialect = dialect;
    const note = (what) => this.#told.set(what, (this.#told.get(what) ?? 0) + 1);
    dialect.onNotification("notifications/message", ({ level, logger, data }) => this.#logs.push({ level, logger, data }));
    dialect.onNotification("notifications/resources/updated", ({ uri }) => note(uri));
    for (const what of ["tools", "prompts", "resources"]) {
      dialect.onNotification(`notifications/${what}/list_changed`, () => note(what));
    }
    if (answers) {
      dialect.onRequest("elicitation/create", (params) => this.#answer(params, answers.elicit[params.message] ?? answers.elicit["*"]));
      dialect.onRequest("sampling/createMessage", (params) => this.#answer(params, answers.sample));
      dialect.onRequest("roots/list", () => this.#answer({}, { roots: answers.roots }));
    }
  }

  async perform(operation) {
    [this.#progress, this.#logs, this.#asked] = [[], [], []];
    let outcome;
    try {
      outcome = { result: await within(operation.cancelAfterMs ? 90_000 : LIMIT, this.#do(operation)) };
    } catch (error) {
      outcome = { error: { code: error.code ?? null, message: error.message } };
    }
    await until(() => this.#logs.length >= (operation.logs ?? 0), 3_000);
    return { ...outcome, progress: this.#progress, logs: this.#logs, asked: this.#asked };
  }

  #answer({ _meta, ...params }, answer) {
    this.#asked.push(params);
    return answer;
  }

  #do({ do: kind, ...rest }) {
    switch (kind) {
      case "list":
        return this.#list(rest.what);
      case "call":
        return this.#call(rest);
      case "task":
        return this.#dialect.task(rest);
      case "prompt":
        return this.#client.getPrompt(rest);
      case "read":
        return this.#client.readResource(rest);
      case "complete":
        return this.#client.complete(rest);
      case "ping":
        return this.#client.ping();
      case "level":
        return this.#setLevel(rest.level);
      case "watch":
        return this.#watch(rest.uris);
      case "unwatch":
        return this.#unwatch();
      case "stir":
        return this.#stir(rest);
      default:
        throw new Error(`this client cannot ${kind}`);
    }
  }

  async #list(what) {
    const entries = [];
    let cursor;
    do {
      const page = await this.#client[METHODS[what]](cursor === undefined ? {} : { cursor });
      entries.push(...page[MEMBERS[what]]);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return entries;
  }

  #call({ cancelAfterMs, logs, ...params }) {
    const options = { onprogress: (event) => this.#progress.push(event), timeout: 60_000 };
    if (cancelAfterMs !== undefined) {
      const controller = new AbortController();
      setTimeout(() => controller.abort("the test cancels"), cancelAfterMs);
      options.signal = controller.signal;
    }
    if (this.#level && this.isModern) {
      params._meta = { [LEVEL]: this.#level };
    }
    return this.#dialect.call(params, options);
  }

  async #setLevel(level) {
    this.#level = level;
    if (!this.isModern) {
      await this.#client.setLoggingLevel(level);
    }
    return {};
  }

  async #watch(uris) {
    if (this.isModern) {
      const filter = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
      this.#listening = await this.#client.listen({ ...filter, resourceSubscriptions: uris });
    } else {
      for (const uri of uris) {
        await this.#client.subscribeResource({ uri });
      }
    }
    this.#watched = uris;
    return {};
  }

  async #unwatch() {
    if (this.isModern) {
      await this.#listening.close();
    } else {
      for (const uri of this.#watched) {
        await this.#client.unsubscribeResource({ uri });
      }
    }
    return {};
  }

  async #stir({ call, until: what, shows, tries = 15 }) {
    const before = this.#told.get(what) ?? 0;
    const isTold = () => (this.#told.get(what) ?? 0) > before;
    let calls = 0;
    while (!isTold() && calls < tries) {
      await this.#call(call);
      calls += 1;
      await until(isTold, 1_000);
    }
    if (!isTold()) {
      throw new Error(`nothing was told of ${what} in ${calls} calls`);
    }
    if (shows) {
      const entries = await this.#list(shows.what);
      const there = entries.some((entry) => entry.name === shows.name);
      if (there !== (calls % 2 === 1)) {
        throw new Error(`after ${calls} calls, ${shows.name} is ${there ? "" : "not "}there`);
      }
    }
    return {};
  }
}

async function within(limit, work) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`no end after ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function until(condition, limit) {
  for (const end = Date.now() + limit; !condition() && Date.now() < end; ) {
    await new Promise((done) => setTimeout(done, 10));
  }
}
