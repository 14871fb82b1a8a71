// Talks to the server: plain requests, and answers that arrive as server-sent events.

// `kind`: "network" (no answer at all), "lost" (the stream ended before its end), "stream" (the
// server reported an error after it had begun) or "http" (an answer with an error's status).
export class ApiError extends Error {
  constructor(kind, sentence, { status = 0, code = null } = {}) {
    super(sentence);
    this.kind = kind;
    this.status = status;
    this.code = code;
  }
}

// A body that is no error object gives its first line, so that a proxy's page says something too.
function sentenceOf(text, status) {
  try {
    const { error } = JSON.parse(text);
    if (typeof error?.message === "string") return { sentence: error.message, code: error.code ?? null };
  } catch {
    // Not JSON.
  }
  const plain = text.trim().startsWith("<") ? "" : text.trim().split("\n", 1)[0].slice(0, 300);
  return { sentence: plain || `HTTP ${status}`, code: null };
}

// The events of a response body as texts: the lines "data:" of an event joined, comments and other
// fields ignored. Lines end with LF, CR LF or CR, and a chunk may end anywhere.
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield data.join("\n");
          data = [];
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export class Api {
  // `key` is asked before each request.
  constructor(key) {
    this.key = key;
  }

  async #fetch(path, { body, signal } = {}) {
    const headers = {};
    if (this.key()) headers.Authorization = `Bearer ${this.key()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, {
        method: body === undefined ? "GET" : "POST",
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        cache: "no-store",
        credentials: "same-origin",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError("network", String(error.message ?? error));
    }
    if (!response.ok) {
      const text = await response.text().catch(() => "");
      const { sentence, code } = sentenceOf(text, response.status);
      throw new ApiError("http", sentence, { status: response.status, code });
    }
    return response;
  }

  async #json(path, options) {
    const response = await this.#fetch(path, options);
    try {
      return await response.json();
    } catch (error) {
      throw new ApiError("lost", String(error.message ?? error));
    }
  }

  health() {
    return this.#json("health");
  }

  props() {
    return this.#json("props");
  }

  // How many tokens these messages are as a prompt, or null where the server cannot say.
  async countPrompt(messages, signal) {
    try {
      const { prompt } = await this.#json("apply-template", { body: { messages }, signal });
      const { tokens } = await this.#json("tokenize", { body: { content: prompt }, signal });
      return tokens.length;
    } catch {
      return null;
    }
  }

  // The chunks of a streamed chat completion. Ends after [DONE]; anything else that ends it throws.
  async *chat(body, signal) {
    const response = await this.#fetch("v1/chat/completions", { body, signal });
    try {
      for await (const text of readEvents(response.body)) {
        if (text === "[DONE]") return;
        const chunk = JSON.parse(text);
        if (chunk.error)
          throw new ApiError("stream", String(chunk.error.message), { code: chunk.error.code ?? null });
        yield chunk;
      }
    } catch (error) {
      if (signal?.aborted || error instanceof ApiError) throw error;
      throw new ApiError("lost", String(error.message ?? error));
    }
    throw new ApiError("lost", "");
  }
}
