// A proxy between the browser and a server, so that what a test needs happens when it needs it: an
// answer that waits, breaks off, fails, or says given words. Everything else passes through.

import { createServer, request as ask } from "node:http";

export class ScriptProxy {
  requests = []; // "METHOD /path" of all.
  bodies = []; // Of all chat completions, parsed.
  #rule = null;

  static async start(target) {
    const proxy = new ScriptProxy();
    proxy.target = new URL(target);
    proxy.server = createServer((request, response) => proxy.#handle(request, response));
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  // The next chat completion gets its first `count` pieces of text, then nothing, until `cut()` breaks
  // the connection. `left` is fulfilled once it is closed by either side.
  hold(count) {
    const rule = { kind: "hold", count, response: null };
    const left = new Promise((resolve) => {
      rule.leave = resolve;
    });
    this.#rule = rule;
    return { left, cut: () => rule.response.destroy() };
  }

  // … this status and body.
  refuse(status, body) {
    this.#rule = { kind: "refuse", status, body };
  }

  // … these chunks' texts, each a token with made-up probabilities.
  say(pieces) {
    this.#rule = { kind: "say", pieces };
  }

  #handle(request, response) {
    this.requests.push(`${request.method} ${request.url}`);
    const chat = request.method === "POST" && request.url.endsWith("/v1/chat/completions");
    const rule = chat ? this.#rule : null;
    if (chat) {
      this.#rule = null;
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => this.bodies.push(JSON.parse(Buffer.concat(parts).toString())));
    }
    if (rule?.kind === "refuse") {
      response.writeHead(rule.status, { "Content-Type": "application/json" });
      response.end(JSON.stringify(rule.body));
    } else if (rule?.kind === "say") speak(response, rule.pieces);
    else this.#forward(request, response, rule);
  }

  #forward(request, response, rule) {
    const { hostname, port } = this.target;
    const upstream = ask(
      { hostname, port, method: request.method, path: request.url, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        if (!rule) {
          answer.pipe(response);
          return;
        }
        limited(answer, response, rule);
      },
    );
    upstream.on("error", () => response.destroy());
    response.on("close", () => {
      upstream.destroy();
      rule?.leave?.();
    });
    request.pipe(upstream);
  }
}

// Event by event, until the rule's number of texts has gone through.
function limited(answer, response, rule) {
  let [rest, texts] = ["", 0];
  rule.response = response;
  answer.setEncoding("utf8");
  answer.on("data", (data) => {
    rest += data;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (texts >= rule.count) return;
      response.write(`${event}\n\n`);
      if (/"content":\s*"[^"]/.test(event)) ++texts;
    }
  });
  answer.on("error", () => response.destroy());
}

const bytesOf = (text) => [...Buffer.from(text)];

function tokenOf(text, index) {
  const share = [0.97, 0.62, 0.88, 0.31, 0.12, 0.93, 0.74, 0.03][index % 8];
  const other = (token, part) => ({ token, logprob: Math.log((1 - share) * part), bytes: bytesOf(token) });
  const self = { token: text, logprob: Math.log(share), bytes: bytesOf(text) };
  const top = [self, other(" a", 0.5), other(" its", 0.25), other("\n", 0.1), other(" 空", 0.05)].sort(
    (a, b) => b.logprob - a.logprob,
  );
  return { ...self, top_logprobs: top };
}

function speak(response, pieces) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const send = (choices, more = {}) =>
    response.write(
      `data: ${JSON.stringify({ id: "x", object: "chat.completion.chunk", created: 1, model: "x", choices, ...more })}\n\n`,
    );
  send([{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }]);
  pieces.forEach((content, index) =>
    send([
      { index: 0, delta: { content }, finish_reason: null, logprobs: { content: [tokenOf(content, index)] } },
    ]),
  );
  send([{ index: 0, delta: {}, finish_reason: "stop" }], {
    timings: { predicted_per_second: 42.5, predicted_n: pieces.length },
  });
  send([], {
    usage: { prompt_tokens: 23, completion_tokens: pieces.length, total_tokens: 23 + pieces.length },
  });
  response.end("data: [DONE]\n\n");
}
