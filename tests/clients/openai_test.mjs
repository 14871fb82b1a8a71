// The openai package against `tern serve`. Usage: node openai_test.mjs URL [--api-key KEY]
// Nothing here depends on the sense of a model's words: tiny models write nonsense.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { Checks, eventually, get, post, readArguments, running, useKey } from "./checks.mjs";

const { url, flags } = readArguments("node openai_test.mjs URL [--api-key KEY]", ["api-key"]);
const key = flags["api-key"];
useKey(key);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key ?? "none", maxRetries: 0, timeout: 60000 });
const checks = new Checks("openai");
const props = await (await get(`${url}/props`)).json();
const model = props.model.id;
const messages = [{ role: "user", content: "Once upon a time there was" }];
const greedy = { model, messages, temperature: 0, max_tokens: 24 };

const tokenize = async (content) =>
  (await post(`${url}/tokenize`, { content, with_pieces: true })).json.tokens;

async function streamed(body) {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  }))
    chunks.push(chunk);
  return { chunks, text: chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("") };
}

async function chat() {
  await checks.check("models: listed, and found by their id", async () => {
    const { data } = await client.models.list();
    assert.deepEqual(
      data.map(({ id }) => id),
      [model],
    );
    assert.equal((await client.models.retrieve(model)).id, model);
  });
  await checks.check("chat: a choice, a reason and sums that are right", async () => {
    const answer = await client.chat.completions.create(greedy);
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.model, model);
    assert.equal(answer.choices.length, 1);
    const [{ message, finish_reason }] = answer.choices;
    assert.equal(message.role, "assistant");
    assert.ok(["stop", "length"].includes(finish_reason));
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0 && completion_tokens <= 24);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
    if (finish_reason === "length") assert.equal(completion_tokens, 24);
  });
  await checks.check("chat: streamed text equals the text in one piece", async () => {
    const whole = await client.chat.completions.create(greedy);
    const { chunks, text } = await streamed(greedy);
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    const reasons = chunks
      .flatMap((chunk) => chunk.choices)
      .map((choice) => choice.finish_reason)
      .filter(Boolean);
    assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
    assert.ok(new Set(chunks.map(({ id }) => id)).size === 1);
    assert.ok(chunks.length > 4, "the answer came in one piece");
  });
  await checks.check("chat: logprobs spell the text, streamed and not", async () => {
    const body = { ...greedy, logprobs: true, top_logprobs: 3 };
    const whole = await client.chat.completions.create(body);
    const { chunks } = await streamed(body);
    const pieces = whole.choices[0].logprobs.content;
    const spelt = Buffer.from(pieces.flatMap(({ bytes }) => bytes)).toString();
    // The limit can cut a character in two; the text leaves its beginning out, the tokens do not.
    assert.equal(spelt.replace(/\ufffd+$/, "").trimStart(), whole.choices[0].message.content.trimStart());
    for (const { logprob, top_logprobs } of pieces) {
      assert.equal(top_logprobs.length, 3);
      assert.ok(
        logprob <= 0 && Math.abs(logprob - top_logprobs[0].logprob) < 1e-6,
        "greedy takes the likeliest",
      );
      assert.ok(
        top_logprobs[0].logprob >= top_logprobs[1].logprob &&
          top_logprobs[1].logprob >= top_logprobs[2].logprob,
      );
    }
    assert.deepEqual(
      chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []).map(({ token }) => token),
      pieces.map(({ token }) => token),
    );
  });
  await checks.check("chat: n answers, each with its index", async () => {
    const { choices, usage } = await client.chat.completions.create({
      ...greedy,
      temperature: 1,
      n: 3,
      max_tokens: 8,
    });
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2],
    );
    assert.ok(usage.completion_tokens <= 24 && usage.completion_tokens >= 3);
  });
  await checks.check("chat: a stop text ends the answer before it", async () => {
    const text = (await client.chat.completions.create(greedy)).choices[0].message.content;
    const stop = text.slice(Math.floor(text.length / 2)).slice(0, 3);
    const [choice] = (await client.chat.completions.create({ ...greedy, stop: [stop, "\u0001never"] }))
      .choices;
    assert.equal(choice.message.content, text.slice(0, text.indexOf(stop)));
    assert.equal(choice.finish_reason, "stop");
    assert.equal((await streamed({ ...greedy, stop })).text, choice.message.content);
  });
  await checks.check("chat: the same seed gives the same text, others do not", async () => {
    const write = async (seed) =>
      (await client.chat.completions.create({ ...greedy, temperature: 1, seed })).choices[0].message.content;
    const texts = [await write(1), await write(1), await write(2), await write(3), await write(4)];
    assert.equal(texts[0], texts[1]);
    assert.ok(new Set(texts).size >= 3);
  });
}

async function completions() {
  const prompt = "Once upon a time";
  const body = { model, prompt, temperature: 0, max_tokens: 8, logprobs: 2 };
  await checks.check("completions: logprobs of an echoed prompt and of what follows", async () => {
    const [plain] = (await client.completions.create(body)).choices;
    const [echoed] = (await client.completions.create({ ...body, echo: true })).choices;
    assert.equal(echoed.text, prompt + plain.text);
    const { tokens, token_logprobs, top_logprobs, text_offset } = echoed.logprobs;
    const count = tokens.length;
    assert.deepEqual([token_logprobs.length, top_logprobs.length, text_offset.length], [count, count, count]);
    assert.equal(token_logprobs[0], null);
    assert.ok(token_logprobs.slice(1).every((one) => typeof one === "number" && one <= 0));
    assert.ok(text_offset.every((offset, index) => index === 0 || offset >= text_offset[index - 1]));
    assert.equal(text_offset[0], 0);
    // Offsets count characters; a token that is part of one has no length of its own.
    if (/^[\x20-\x7e\n]*$/.test(echoed.text))
      assert.equal(text_offset.at(-1) + tokens.at(-1).length, echoed.text.length);
    assert.deepEqual(tokens.slice(-plain.logprobs.tokens.length), plain.logprobs.tokens);
    near(token_logprobs.slice(-plain.logprobs.tokens.length), plain.logprobs.token_logprobs);
    plain.logprobs.tokens.forEach((token, index) => {
      const best = Math.max(...Object.values(plain.logprobs.top_logprobs[index]));
      assert.ok(Math.abs(plain.logprobs.token_logprobs[index] - best) < 1e-6, token);
    });
  });
  await checks.check("completions: a text scored by its ids has the sum it was written with", async () => {
    const ids = (await tokenize(prompt)).map(({ id }) => id);
    const [written] = (await client.completions.create({ ...body, prompt: ids })).choices;
    const all = await tokenize(prompt + written.text);
    const same =
      all.length === ids.length + written.logprobs.tokens.length &&
      ids.every((id, index) => id === all[index].id);
    // Text can be cut into tokens otherwise than it was written; then there is nothing to compare.
    if (!same) return checks.skip("the sum", "the text is cut into other tokens");
    const [scored] = (
      await client.completions.create({ ...body, prompt: all.map(({ id }) => id), max_tokens: 0, echo: true })
    ).choices;
    near(
      scored.logprobs.token_logprobs.slice(-written.logprobs.tokens.length),
      written.logprobs.token_logprobs,
    );
    assert.equal(scored.text, prompt + written.text);
  });
  await checks.check(
    "completions: several prompts, texts or ids, give several answers in order",
    async () => {
      const other = "Then the sea";
      const one = async (text) =>
        (await client.completions.create({ ...body, prompt: text })).choices[0].text;
      const { choices } = await client.completions.create({ ...body, prompt: [prompt, other] });
      assert.deepEqual(
        choices.map(({ index }) => index),
        [0, 1],
      );
      assert.deepEqual(
        choices.map(({ text }) => text),
        [await one(prompt), await one(other)],
      );
      const ids = await Promise.all(
        [prompt, other].map(async (text) => (await tokenize(text)).map(({ id }) => id)),
      );
      assert.equal((await client.completions.create({ ...body, prompt: ids })).choices.length, 2);
    },
  );
  await checks.check("completions: streamed text equals the text in one piece", async () => {
    let text = "";
    for await (const chunk of await client.completions.create({ ...body, logprobs: null, stream: true }))
      text += chunk.choices[0]?.text ?? "";
    assert.equal(text, (await client.completions.create(body)).choices[0].text);
  });
  await checks.check("completions: logit_bias forces a token and forbids one", async () => {
    const [first] = await tokenize(
      (await client.completions.create(body)).choices[0].logprobs.tokens.find((token) =>
        /[a-z\u3041-\u9fff]/.test(token),
      ) ?? " the",
    );
    const biased = async (bias) =>
      (await client.completions.create({ ...body, logit_bias: { [first.id]: bias } })).choices[0].logprobs
        .tokens;
    const forced = await biased(100);
    assert.equal(new Set(forced).size, 1, `${forced}`);
    assert.equal(forced.length, 8);
    assert.ok(!(await biased(-100)).includes(forced[0]));
  });
}

function near(found, expected) {
  assert.equal(found.length, expected.length);
  found.forEach((value, index) =>
    assert.ok(
      Math.abs(value - expected[index]) < 1e-4,
      `${value} is not ${expected[index]} (token ${index})`,
    ),
  );
}

async function embeddings() {
  await checks.check("embeddings: float and base64 are the same numbers, of length 1", async () => {
    const input = ["the white bird", "白い鳥", "the white bird"];
    const floats = await client.embeddings.create({ model, input, encoding_format: "float" });
    const coded = await client.embeddings.create({ model, input, encoding_format: "base64" });
    assert.deepEqual(
      floats.data.map(({ index }) => index),
      [0, 1, 2],
    );
    floats.data.forEach(({ embedding }, index) => {
      const raw = Buffer.from(coded.data[index].embedding, "base64");
      const decoded = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
      assert.deepEqual(embedding.map(Math.fround), [...decoded]);
      assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
    });
    assert.deepEqual(floats.data[0].embedding, floats.data[2].embedding);
    assert.notDeepEqual(floats.data[0].embedding, floats.data[1].embedding);
  });
}

const PERSON = {
  type: "object",
  additionalProperties: false,
  required: ["name", "age", "colour", "tags", "flies"],
  properties: {
    name: { type: "string", maxLength: 6 },
    age: { type: "integer", minimum: 0, maximum: 99 },
    colour: { enum: ["white", "black"] },
    tags: { type: "array", items: { enum: ["sea", "sky"] }, minItems: 1, maxItems: 2 },
    flies: { type: "boolean" },
  },
};

function assertPerson(value) {
  assert.deepEqual(Object.keys(value).sort(), [...PERSON.required].sort());
  assert.ok(typeof value.name === "string" && Array.from(value.name).length <= 6);
  assert.ok(Number.isInteger(value.age) && value.age >= 0 && value.age <= 99);
  assert.ok(PERSON.properties.colour.enum.includes(value.colour));
  assert.ok(
    value.tags.length >= 1 &&
      value.tags.length <= 2 &&
      value.tags.every((tag) => ["sea", "sky"].includes(tag)),
  );
  assert.equal(typeof value.flies, "boolean");
}

// Small: the prompt shows it, and the models' context is short.
const SIGHTING = {
  type: "object",
  properties: { bird: { enum: ["tern", "gull"] }, count: { type: "integer", minimum: 0, maximum: 9 } },
  required: ["bird", "count"],
  additionalProperties: false,
};

async function constrained() {
  await checks.check("json_schema: every answer at temperature 1 parses and fits", async () => {
    const response_format = {
      type: "json_schema",
      json_schema: { name: "person", strict: true, schema: PERSON },
    };
    for (const seed of [1, 2, 3, 4, 5]) {
      const body = { ...greedy, max_tokens: 200, temperature: 1, seed, response_format };
      const [choice] = (await client.chat.completions.create(body)).choices;
      assert.equal(choice.finish_reason, "stop");
      assertPerson(JSON.parse(choice.message.content));
      if (seed === 1) assert.equal((await streamed(body)).text, choice.message.content);
    }
  });
  const tools = [
    { type: "function", function: { name: "note", description: "Notes a bird", parameters: SIGHTING } },
  ];
  if (!props.tools) {
    await checks.check("tools: refused where the model's template has none", async () => {
      await assert.rejects(
        client.chat.completions.create({ ...greedy, tools, tool_choice: "required" }),
        OpenAI.BadRequestError,
      );
    });
    return;
  }
  await checks.check("tools: a required call parses and fits; its result can be answered", async () => {
    const body = { ...greedy, max_tokens: 250, temperature: 1, seed: 1, tools, tool_choice: "required" };
    const [choice] = (await client.chat.completions.create(body)).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    const [call] = choice.message.tool_calls;
    assert.deepEqual([call.type, call.function.name], ["function", "note"]);
    const { bird, count } = JSON.parse(call.function.arguments);
    assert.ok(["tern", "gull"].includes(bird) && Number.isInteger(count) && count >= 0 && count <= 9);
    const next = [...messages, choice.message, { role: "tool", tool_call_id: call.id, content: "noted" }];
    const answer = await client.chat.completions.create({ ...greedy, max_tokens: 8, messages: next, tools });
    assert.ok(answer.choices[0].message);
    const { chunks } = await streamed(body);
    const parts = chunks.flatMap((chunk) => chunk.choices[0]?.delta?.tool_calls ?? []);
    assert.equal(parts.map((part) => part.function?.arguments ?? "").join(""), call.function.arguments);
  });
}

async function lifetimes() {
  await checks.check("abort: a stream that is given up stops running within a second", async () => {
    const limit = Math.min(400, props.context - 100);
    const stream = await client.chat.completions.create({
      ...greedy,
      temperature: 1,
      max_tokens: limit,
      stream: true,
    });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) break;
    }
    stream.controller.abort();
    await eventually("no request runs", 1000, async () => (await running(url)) === 0);
  });
  await checks.check("Japanese and emoji come whole, in every piece", async () => {
    for (const seed of [1, 2, 3, 4]) {
      const { chunks, text } = await streamed({
        ...greedy,
        temperature: 1.5,
        seed,
        max_tokens: 40,
        messages: [{ role: "user", content: "白い鳥 🐦 は海の上を" }],
      });
      for (const chunk of chunks)
        assert.ok((chunk.choices[0]?.delta?.content ?? "").isWellFormed?.() ?? true);
      const whole = (
        await client.chat.completions.create({
          ...greedy,
          temperature: 1.5,
          seed,
          max_tokens: 40,
          messages: [{ role: "user", content: "白い鳥 🐦 は海の上を" }],
        })
      ).choices[0].message.content;
      assert.equal(text, whole);
    }
    const ids = (await post(`${url}/tokenize`, { content: "海 🐦 é" })).json.tokens;
    assert.equal((await post(`${url}/detokenize`, { tokens: ids })).json.content.trim(), "海 🐦 é");
  });
}

async function responses() {
  await checks.check("responses: text in one piece and as events", async () => {
    const body = {
      model,
      instructions: "Be brief.",
      input: "Once upon a time",
      max_output_tokens: 12,
      temperature: 0,
    };
    const whole = await client.responses.create(body);
    assert.ok(["completed", "incomplete"].includes(whole.status));
    assert.ok(whole.usage.output_tokens > 0 && whole.usage.output_tokens <= 12);
    let text = "";
    const types = [];
    for await (const event of await client.responses.create({ ...body, stream: true })) {
      types.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.output_text.done") assert.equal(event.text, text);
    }
    assert.equal(text, whole.output_text);
    assert.equal(types[0], "response.created");
    assert.ok(["response.completed", "response.incomplete"].includes(types.at(-1)));
    const list = await client.responses.create({
      ...body,
      input: [{ role: "user", content: "Once upon a time" }],
    });
    assert.equal(list.output_text, whole.output_text);
  });
}

async function errors() {
  const rejects = (what, body, type, more) =>
    checks.check(`errors: ${what} is ${type.name}`, () =>
      assert.rejects(client.chat.completions.create({ ...greedy, ...body }), (error) => {
        assert.equal(error.constructor, type, `${error.constructor.name}: ${error.message}`);
        for (const [name, value] of Object.entries(more)) assert.equal(error[name], value, name);
        assert.ok(error.message.length > 10);
        return true;
      }),
    );
  await rejects("a number that is a word", { max_tokens: "ten" }, OpenAI.BadRequestError, {
    status: 400,
    param: "max_tokens",
    type: "invalid_request_error",
  });
  await rejects("messages that are no list", { messages: "x" }, OpenAI.BadRequestError, {
    status: 400,
    param: "messages",
  });
  await rejects("a temperature that is a list", { temperature: [1] }, OpenAI.BadRequestError, {
    status: 400,
    param: "temperature",
  });
  await rejects(
    "a prompt beyond the context",
    { messages: [{ role: "user", content: "the sea ".repeat(props.context) }] },
    OpenAI.BadRequestError,
    { status: 400, code: "context_length_exceeded" },
  );
  await rejects("a model that is not there", { model: "other" }, OpenAI.NotFoundError, {
    status: 404,
    code: "model_not_found",
  });
  await checks.check("errors: a path that is not there is NotFoundError", () =>
    assert.rejects(client.get("/nowhere"), OpenAI.NotFoundError),
  );
  await checks.check("unknown fields are ignored", async () => {
    const answer = await client.chat.completions.create({
      ...greedy,
      max_tokens: 2,
      no_such_field: { x: 1 },
      user: "me",
    });
    assert.equal(answer.choices.length, 1);
  });
  if (!key) return checks.skip("errors: a wrong key", "the server was started without --api-key");
  await checks.check("errors: a wrong key is AuthenticationError", () => {
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: `${key}x`, maxRetries: 0 });
    return assert.rejects(
      stranger.chat.completions.create(greedy),
      (error) => error instanceof OpenAI.AuthenticationError && error.status === 401,
    );
  });
}

for (const part of [chat, completions, embeddings, constrained, lifetimes, responses, errors]) await part();
checks.finish();
