#!/usr/bin/env node
// A stand-in for `tern serve`: the part of its interface that the page and these tests use.
// Usage: node mock_server.mjs [serve MODEL] [--port N] [--port-file FILE] [--api-key KEY] [--web DIR]
//        [--delay MS] [--load-ms MS] [--no-chat] [--no-tools]
// Prints the address; ends with status 0 on SIGTERM, after the answers that are being written.

import { createServer } from "node:http";
import { readFile, rename, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chat, completions, embeddings, Fault, messages, responses } from "./mock_endpoints.mjs";
import { decode, encode, piece } from "./mock_model.mjs";

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};
const MAX_BODY = 8 << 20;
const GRACE_MS = 5000;

function options(args) {
  const here = dirname(fileURLToPath(import.meta.url)); // Run from a copy, it is given --web or TERN_WEB.
  const found = {
    port: 8080,
    web: process.env.TERN_WEB ?? resolve(here, "../../web"),
    delay: 0,
    loadMs: 0,
    chat: true,
    tools: true,
    model: "mock",
  };
  const values = {
    "--port": (v) => {
      found.port = Number(v);
    },
    "--port-file": (v) => {
      found.portFile = v;
    },
    "--api-key": (v) => {
      found.apiKey = v;
    },
    "--web": (v) => {
      found.web = v;
    },
    "--delay": (v) => {
      found.delay = Number(v);
    },
    "--load-ms": (v) => {
      found.loadMs = Number(v);
    },
    "--host": () => {},
  };
  const switches = {
    "--no-chat": () => {
      found.chat = false;
    },
    "--no-tools": () => {
      found.tools = false;
    },
  };
  for (let i = 0; i < args.length; ++i) {
    if (args[i] === "serve") found.model = basename(args[++i], ".gguf");
    else if (args[i] in switches) switches[args[i]]();
    else if (args[i] in values && i + 1 < args.length) values[args[i]](args[++i]);
    else throw new Error(`${args[i]}: not a flag of the mock server`);
  }
  return found;
}

const settings = options(process.argv.slice(2));
const state = { running: 0, stopping: false, ready: settings.loadMs === 0, tokens: 0 };
const modelId = `tern ${settings.model}`;

function props() {
  const layers = Array.from({ length: 24 }, (_, i) => {
    const zero = 0.52 - 0.22 * Math.sin(((i + 2) / 26) * Math.PI) + 0.03 * Math.sin(i * 2.3);
    const minus = (1 - zero) / 2 + 0.006 * Math.cos(i);
    return { "-1": minus, 0: zero, "+1": 1 - zero - minus };
  });
  const mean = (digit) => layers.reduce((sum, layer) => sum + layer[digit], 0) / layers.length;
  return {
    version: "0.1.0 (mock)",
    context: 512,
    slots: 16,
    queue: 256,
    chat: settings.chat,
    tools: settings.tools,
    kv_type: "f16",
    chat_template: settings.chat
      ? "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}<|assistant|>"
      : "",
    model: {
      id: modelId,
      architecture: "bitnet-b1.58",
      path: `${settings.model}.gguf`,
      parameters: 728_842_752,
      bytes: 261_000_000,
      layers: 24,
      hidden: 1536,
      heads: 16,
      kv_heads: 16,
      vocab: 32002,
      context: 2048,
      ternary: { "-1": mean("-1"), 0: mean(0), "+1": mean("+1") },
      ternary_layers: layers,
      types: { TQ2_0: 174_000_000, Q6_K: 80_600_000, F32: 640_000, F16: 5_760_000 },
    },
    defaults: { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, repeat_penalty: 1 },
  };
}

const metrics = () =>
  `# TYPE tern_requests_processing gauge\ntern_requests_processing ${state.running}\n` +
  `# TYPE tern_requests_queued gauge\ntern_requests_queued 0\n# TYPE tern_tokens_predicted_total counter\ntern_tokens_predicted_total ${state.tokens}\n`;

const models = () => ({
  object: "list",
  data: [{ id: modelId, object: "model", created: 1700000000, owned_by: "tern" }],
});

const GETS = {
  "/health": () => {
    if (!state.ready || state.stopping)
      throw new Fault(503, state.ready ? "the server is stopping" : "the model is being loaded", {
        type: "server_error",
      });
    return { status: "ok" };
  },
  "/props": props,
  "/v1/models": models,
};

const POSTS = {
  "/v1/chat/completions": chat,
  "/v1/completions": completions,
  "/v1/embeddings": embeddings,
  "/v1/responses": responses,
  "/v1/messages": messages,
  "/tokenize": ({ body }) => ({
    tokens: body.with_pieces
      ? encode(body.content).map((id) => ({ id, piece: piece(id) }))
      : encode(body.content),
  }),
  "/detokenize": ({ body }) => ({ content: decode(body.tokens) }),
  "/apply-template": ({ body }) => ({ prompt: body.messages.map((m) => m.content).join("\n") }),
};

async function readBody(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BODY) throw new Fault(413, `the body has more than ${MAX_BODY} bytes`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString());
  } catch (error) {
    throw new Fault(400, `the body is not JSON: ${error.message}`);
  }
}

async function file(path, response) {
  const name = path === "/" ? "index.html" : path.slice(1);
  if (!/^[\w-]+\.\w+$/.test(name) || !(extname(name) in TYPES)) return false;
  try {
    const content = await readFile(join(settings.web, name));
    response.writeHead(200, {
      "Content-Type": TYPES[extname(name)],
      "Content-Security-Policy": CSP,
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "no-cache",
    });
    response.end(content);
    return true;
  } catch {
    return false;
  }
}

function authorize(request) {
  if (!settings.apiKey) return;
  const given = request.headers.authorization?.replace(/^Bearer /, "") ?? request.headers["x-api-key"];
  if (given !== settings.apiKey)
    throw new Fault(401, "the API key is missing or wrong", { type: "authentication_error" });
}

function checkOrigin({ headers }) {
  if (headers.origin && headers.origin !== `http://${headers.host}`) {
    throw new Fault(403, `Origin ${headers.origin} is not allowed`, { type: "permission_error" });
  }
}

async function handle(request, response) {
  const path = new URL(request.url, "http://x").pathname;
  checkOrigin(request);
  if (request.method === "GET" && (await file(path, response))) return;
  if (path !== "/health") authorize(request);
  if (path === "/metrics") {
    response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4" });
    response.end(metrics());
    return;
  }
  if (request.method === "GET") {
    const one = decodeURIComponent(path.slice("/v1/models/".length));
    const answer = path.startsWith("/v1/models/")
      ? models().data.find(({ id }) => id === one)
      : GETS[path]?.();
    if (!answer) throw new Fault(404, `${path}: there is no such path`);
    return json(response, 200, answer);
  }
  if (!POSTS[path]) throw new Fault(404, `${path}: there is no such path`);
  const body = await readBody(request);
  if (!state.ready || state.stopping)
    throw new Fault(503, "the server is starting or stopping", { type: "server_error" });
  state.running += 1;
  try {
    const answer = await POSTS[path]({ body, response, settings, modelId, state });
    if (answer) json(response, 200, answer);
  } finally {
    state.running -= 1;
  }
}

function json(response, status, value, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(value));
}

function fail(request, response, error) {
  const fault =
    error instanceof Fault ? error : new Fault(500, String(error.stack ?? error), { type: "server_error" });
  const { message, type, param, code } = fault;
  if (response.headersSent)
    response.end(`data: ${JSON.stringify({ error: { message, type, param, code } })}\n\n`);
  else if (request.url.startsWith("/v1/messages"))
    json(response, fault.status, { type: "error", error: { type, message } });
  else
    json(
      response,
      fault.status,
      { error: { message, type, param, code } },
      fault.status === 429 ? { "Retry-After": "1" } : {},
    );
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => fail(request, response, error));
});

server.listen(settings.port, "127.0.0.1", async () => {
  const { port } = server.address();
  if (settings.portFile) {
    await writeFile(`${settings.portFile}.part`, `${port}\n`);
    await rename(`${settings.portFile}.part`, settings.portFile);
  }
  console.error(`mock server: http://127.0.0.1:${port}`);
  if (settings.loadMs > 0)
    setTimeout(() => {
      state.ready = true;
    }, settings.loadMs);
});

process.on("SIGTERM", () => {
  state.stopping = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setInterval(() => server.closeIdleConnections(), 20).unref();
  setTimeout(() => process.exit(1), GRACE_MS).unref();
});
