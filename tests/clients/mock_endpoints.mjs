// The endpoints of the mock server that write: OpenAI's and Anthropic's.

import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { decode, distribution, embed, encode, generate, piece, randomFrom, valueOf } from "./mock_model.mjs";

const CONTEXT = 512;

export class Fault extends Error {
  constructor(status, message, { type = "invalid_request_error", param = null, code = null } = {}) {
    super(message);
    Object.assign(this, { status, type, param, code });
  }
}

function checkModel({ body, modelId }) {
  if (body.model && body.model !== "default" && body.model !== modelId) {
    throw new Fault(404, `model: "${body.model}" found, expected "${modelId}"`, {
      param: "model",
      code: "model_not_found",
    });
  }
}

function whole(body, name, usual) {
  if (body[name] === undefined || body[name] === null) return usual;
  if (!Number.isInteger(body[name]) || body[name] < 0) {
    throw new Fault(
      400,
      `${name}: ${JSON.stringify(body[name])} found, expected a whole number of at least 0`,
      { param: name },
    );
  }
  return body[name];
}

function fit(ids, limit) {
  if (ids.length >= CONTEXT) {
    throw new Fault(400, `the prompt has ${ids.length} tokens, the context ${CONTEXT}`, {
      code: "context_length_exceeded",
    });
  }
  return Math.min(limit, CONTEXT - ids.length);
}

const bytesOf = (text) => [...Buffer.from(text)];
const named = ({ id, logprob }) => ({ token: piece(id), logprob, bytes: bytesOf(piece(id)) });

// Calls `each` with every token's {text, token}; gives {text, finish, count}. Ends early where the
// client has gone. Text that may be the beginning of a stop text is held back.
async function write({ response, settings, state }, ids, options, stops, each) {
  let [text, shown, count] = ["", 0, 0];
  const held = [];
  for (const token of generate(ids, options)) {
    if (response.destroyed) return { text: text.slice(0, shown), finish: "gone", count };
    await (settings.delay > 0 ? sleep(settings.delay) : nextTurn());
    ++count;
    ++state.tokens;
    text += piece(token.id);
    held.push(token);
    const at = Math.min(
      ...stops.map((stop) => {
        const i = text.indexOf(stop);
        return i < 0 ? Infinity : i;
      }),
    );
    if (at < Infinity) {
      each(text.slice(shown, Math.max(at, shown)), []);
      return {
        text: text.slice(0, at),
        finish: "stop",
        count,
        stop: stops.find((stop) => text.startsWith(stop, at)),
      };
    }
    const safe = text.length - Math.max(0, ...stops.map((stop) => overlap(text, stop)));
    if (safe > shown) {
      each(text.slice(shown, safe), held.splice(0));
      shown = safe;
    }
  }
  if (text.length > shown) each(text.slice(shown), held);
  return { text, finish: "length", count };
}

// How much of the end of `text` is a beginning of `stop`.
function overlap(text, stop) {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; --length) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

const listOf = (value) =>
  value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];

function event(response, data, name = null) {
  if (!response.headersSent)
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.write(
    `${name ? `event: ${name}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`,
  );
}

function promptOf(messages, param = "messages") {
  if (!Array.isArray(messages))
    throw new Fault(400, `${param}: ${JSON.stringify(messages) ?? "nothing"} found, expected a list`, {
      param,
    });
  return encode(
    messages
      .map(({ content }) =>
        typeof content === "string"
          ? content
          : listOf(content)
              .map((part) => part.text ?? "")
              .join(""),
      )
      .join("\n"),
  );
}

function sampling(body, limit) {
  if (body.temperature !== undefined && typeof body.temperature !== "number") {
    throw new Fault(400, `temperature: ${JSON.stringify(body.temperature)} found, expected a number`, {
      param: "temperature",
    });
  }
  return { temperature: body.temperature ?? 0.8, seed: body.seed, bias: body.logit_bias ?? {}, limit };
}

const usage = (prompt, completion) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: 0 },
});
const timings = (prompt, count, started) => ({
  prompt_n: prompt,
  cache_n: 0,
  prompt_ms: 1,
  prompt_per_second: prompt * 1000,
  predicted_n: count,
  predicted_ms: performance.now() - started,
  predicted_per_second: (count * 1000) / Math.max(1, performance.now() - started),
});

const logprobsOf = (tokens, top) => ({
  content: tokens.map((token) => ({ ...named(token), top_logprobs: token.top.slice(0, top).map(named) })),
  refusal: null,
});

// What a schema or a tool demands, as text; null where the answer is free.
function demanded(body, settings) {
  const random = randomFrom(body.seed ?? 1);
  const format = body.response_format;
  if (format?.type === "json_schema")
    return { text: JSON.stringify(valueOf(format.json_schema.schema, random)) };
  if (format?.type === "json_object") return { text: "{}" };
  const tools = listOf(body.tools);
  if (tools.length > 0 && !settings.tools)
    throw new Fault(400, "the model's template has no tools", { param: "tools" });
  const forced =
    body.tool_choice?.function?.name ?? (body.tool_choice === "required" ? tools[0].function.name : null);
  const tool = tools.find((one) => one.function.name === forced);
  if (!tool) return null;
  const call = {
    id: "call_1",
    type: "function",
    function: { name: forced, arguments: JSON.stringify(valueOf(tool.function.parameters, random)) },
  };
  return { calls: [call] };
}

export async function chat(context) {
  const { body, response, settings } = context;
  checkModel(context);
  const ids = promptOf(body.messages);
  const limit = fit(ids, whole(body, "max_completion_tokens", whole(body, "max_tokens", 64)));
  const head = {
    id: `chatcmpl-${Math.random().toString(36).slice(2)}`,
    created: Math.floor(Date.now() / 1000),
    model: context.modelId,
  };
  const started = performance.now();
  const fixed = demanded(body, settings);
  const choices = [];
  let total = 0;
  for (let index = 0; index < (body.n ?? 1); ++index) {
    const emit = (delta, finish = null, more = {}) =>
      body.stream &&
      event(response, {
        ...head,
        object: "chat.completion.chunk",
        choices: [{ index, delta, logprobs: null, finish_reason: finish, ...more }],
        ...(finish ? { timings: timings(ids.length, total, started) } : {}),
      });
    emit({ role: "assistant", content: "" });
    const tokens = [];
    const seed = body.seed === undefined ? undefined : body.seed + index * 1000;
    const result = fixed
      ? { text: fixed.text ?? null, finish: fixed.calls ? "tool_calls" : "stop", count: 1 }
      : await write(context, ids, { ...sampling(body, limit), seed }, listOf(body.stop), (text, some) => {
          tokens.push(...some);
          emit(
            { content: text },
            null,
            body.logprobs ? { logprobs: logprobsOf(some, body.top_logprobs ?? 0) } : {},
          );
        });
    if (result.finish === "gone") return null;
    total += result.count;
    if (fixed?.text) emit({ content: fixed.text });
    if (fixed?.calls) emit({ tool_calls: fixed.calls.map((call, at) => ({ index: at, ...call })) });
    emit({}, result.finish);
    choices.push({
      index,
      finish_reason: result.finish,
      message: {
        role: "assistant",
        content: result.text,
        ...(fixed?.calls ? { tool_calls: fixed.calls } : {}),
      },
      logprobs: body.logprobs ? logprobsOf(tokens, body.top_logprobs ?? 0) : null,
    });
  }
  if (!body.stream)
    return {
      ...head,
      object: "chat.completion",
      choices,
      usage: usage(ids.length, total),
      timings: timings(ids.length, total, started),
    };
  if (body.stream_options?.include_usage)
    event(response, {
      ...head,
      object: "chat.completion.chunk",
      choices: [],
      usage: usage(ids.length, total),
    });
  event(response, "[DONE]");
  response.end();
  return null;
}

function promptsOf(prompt) {
  if (typeof prompt === "string") return [encode(prompt)];
  if (!Array.isArray(prompt))
    throw new Fault(400, `prompt: ${JSON.stringify(prompt) ?? "nothing"} found, expected a text or a list`, {
      param: "prompt",
    });
  if (prompt.every(Number.isInteger)) return [prompt];
  return prompt.map((one) => (typeof one === "string" ? encode(one) : one));
}

// OpenAI's older shape: parallel lists.
function legacyLogprobs(ids, from, top, bias, text0) {
  const shape = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let offset = text0;
  for (let i = from; i < ids.length; ++i) {
    const options = distribution(ids.slice(0, i), { bias, also: ids[i] });
    shape.tokens.push(piece(ids[i]));
    shape.token_logprobs.push(i === 0 ? null : options.find(({ id }) => id === ids[i]).logprob);
    shape.top_logprobs.push(
      i === 0
        ? null
        : Object.fromEntries(options.slice(0, top).map(({ id, logprob }) => [piece(id), logprob])),
    );
    shape.text_offset.push(offset);
    offset += Array.from(piece(ids[i])).length;
  }
  return shape;
}

export async function completions(context) {
  const { body, response } = context;
  checkModel(context);
  const head = {
    id: "cmpl-1",
    object: "text_completion",
    created: Math.floor(Date.now() / 1000),
    model: context.modelId,
  };
  const choices = [];
  let [prompts, total] = [0, 0];
  for (const ids of promptsOf(body.prompt)) {
    const limit = fit(ids, whole(body, "max_tokens", 16));
    prompts += ids.length;
    for (let n = 0; n < (body.n ?? 1); ++n) {
      const index = choices.length;
      const tokens = [];
      const seed = body.seed === undefined ? undefined : body.seed + n * 1000;
      const result = await write(
        context,
        ids,
        { ...sampling(body, limit), seed },
        listOf(body.stop),
        (text, some) => {
          tokens.push(...some);
          if (body.stream)
            event(response, { ...head, choices: [{ index, text, logprobs: null, finish_reason: null }] });
        },
      );
      if (result.finish === "gone") return null;
      total += result.count;
      const all = [...ids, ...tokens.map(({ id }) => id)];
      const logprobs = Number.isInteger(body.logprobs)
        ? legacyLogprobs(
            all,
            body.echo ? 0 : ids.length,
            body.logprobs,
            body.logit_bias ?? {},
            body.echo ? 0 : Array.from(decode(ids)).length,
          )
        : null;
      if (body.stream)
        event(response, {
          ...head,
          choices: [{ index, text: "", logprobs: null, finish_reason: result.finish }],
        });
      choices.push({
        index,
        text: (body.echo ? decode(ids) : "") + result.text,
        logprobs,
        finish_reason: result.finish,
      });
    }
  }
  if (!body.stream) return { ...head, choices, usage: usage(prompts, total) };
  event(response, "[DONE]");
  response.end();
  return null;
}

export function embeddings(context) {
  const { body } = context;
  checkModel(context);
  const inputs = promptsOf(body.input);
  const data = inputs.map((ids, index) => {
    const vector = embed(ids);
    const embedding =
      body.encoding_format === "base64"
        ? Buffer.from(Float32Array.from(vector).buffer).toString("base64")
        : vector;
    return { object: "embedding", index, embedding };
  });
  const count = inputs.reduce((sum, ids) => sum + ids.length, 0);
  return {
    object: "list",
    data,
    model: context.modelId,
    usage: { prompt_tokens: count, total_tokens: count },
  };
}

export async function responses(context) {
  const { body, response, modelId } = context;
  checkModel(context);
  const input = typeof body.input === "string" ? [{ role: "user", content: body.input }] : body.input;
  const ids = promptOf([...(body.instructions ? [{ content: body.instructions }] : []), ...input], "input");
  const limit = fit(ids, whole(body, "max_output_tokens", 64));
  const item = (text, status) => ({
    id: "msg_1",
    type: "message",
    role: "assistant",
    status,
    content: text === null ? [] : [{ type: "output_text", text, annotations: [] }],
  });
  const whole_ = (status, output, counts) => ({
    id: "resp_1",
    object: "response",
    created_at: Math.floor(Date.now() / 1000),
    model: modelId,
    status,
    output,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    metadata: {},
    tools: [],
    tool_choice: "auto",
    parallel_tool_calls: true,
    temperature: body.temperature ?? 0.8,
    top_p: 0.95,
    ...counts,
  });
  let sequence = 0;
  const tell = (type, fields) =>
    body.stream && event(response, { type, sequence_number: sequence++, ...fields }, type);
  const place = { item_id: "msg_1", output_index: 0, content_index: 0 };
  tell("response.created", { response: whole_("in_progress", [], {}) });
  tell("response.output_item.added", { output_index: 0, item: item(null, "in_progress") });
  tell("response.content_part.added", { ...place, part: { type: "output_text", text: "", annotations: [] } });
  const result = await write(context, ids, sampling(body, limit), [], (delta) =>
    tell("response.output_text.delta", { ...place, delta }),
  );
  if (result.finish === "gone") return null;
  const { text } = result;
  tell("response.output_text.done", { ...place, text });
  tell("response.content_part.done", { ...place, part: { type: "output_text", text, annotations: [] } });
  tell("response.output_item.done", { output_index: 0, item: item(text, "completed") });
  const done = whole_("completed", [item(text, "completed")], {
    usage: { input_tokens: ids.length, output_tokens: result.count, total_tokens: ids.length + result.count },
  });
  tell("response.completed", { response: done });
  if (!body.stream) return done;
  response.end();
  return null;
}

export async function messages(context) {
  const { body, response, modelId } = context;
  checkModel(context);
  if (body.max_tokens === undefined)
    throw new Fault(400, "max_tokens: missing, expected a whole number of at least 1");
  const ids = promptOf([...(body.system ? [{ content: body.system }] : []), ...listOf(body.messages)]);
  const limit = fit(ids, whole(body, "max_tokens"));
  const head = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: modelId,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: ids.length, output_tokens: 0 },
  };
  const tell = (type, fields) => body.stream && event(response, { type, ...fields }, type);
  tell("message_start", { message: head });
  tell("content_block_start", { index: 0, content_block: { type: "text", text: "" } });
  tell("ping", {});
  const result = await write(context, ids, sampling(body, limit), listOf(body.stop_sequences), (text) =>
    tell("content_block_delta", { index: 0, delta: { type: "text_delta", text } }),
  );
  if (result.finish === "gone") return null;
  const end = {
    stop_reason: result.finish === "length" ? "max_tokens" : result.stop ? "stop_sequence" : "end_turn",
    stop_sequence: result.stop ?? null,
  };
  tell("content_block_stop", { index: 0 });
  tell("message_delta", { delta: end, usage: { output_tokens: result.count } });
  tell("message_stop", {});
  if (!body.stream)
    return {
      ...head,
      ...end,
      content: [{ type: "text", text: result.text }],
      usage: { input_tokens: ids.length, output_tokens: result.count },
    };
  response.end();
  return null;
}
