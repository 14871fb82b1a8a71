// The @anthropic-ai/sdk package against `tern serve`. Usage: node anthropic_test.mjs URL [--api-key KEY]

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { Checks, eventually, get, readArguments, running, useKey } from "./checks.mjs";

const { url, flags } = readArguments("node anthropic_test.mjs URL [--api-key KEY]", ["api-key"]);
const key = flags["api-key"];
useKey(key);
const client = new Anthropic({ baseURL: url, apiKey: key ?? "none", maxRetries: 0, timeout: 60000 });
const checks = new Checks("anthropic");
const props = await (await get(`${url}/props`)).json();
const messages = [{ role: "user", content: "Once upon a time there was" }];
const greedy = { model: props.model.id, messages, max_tokens: 16, temperature: 0 };
const textOf = (answer) => answer.content.map(({ text }) => text).join("");

await checks.check("messages: one block of text, a reason and counts", async () => {
  const answer = await client.messages.create(greedy);
  assert.deepEqual([answer.type, answer.role, answer.model], ["message", "assistant", props.model.id]);
  assert.deepEqual(
    answer.content.map(({ type }) => type),
    ["text"],
  );
  assert.ok(["max_tokens", "end_turn"].includes(answer.stop_reason));
  assert.ok(
    answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0 && answer.usage.output_tokens <= 16,
  );
});

await checks.check("messages: content in blocks says the same", async () => {
  const blocks = [{ role: "user", content: [{ type: "text", text: messages[0].content }] }];
  assert.equal(
    textOf(await client.messages.create({ ...greedy, messages: blocks })),
    textOf(await client.messages.create(greedy)),
  );
});

await checks.check("streaming: events in their order, the same text", async () => {
  const types = [];
  let text = "";
  for await (const event of await client.messages.create({ ...greedy, stream: true })) {
    types.push(event.type);
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  assert.equal(text, textOf(await client.messages.create(greedy)));
  assert.deepEqual(
    types.filter((type) => !["ping", "content_block_delta"].includes(type)),
    ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"],
  );
  assert.ok(
    types.filter((type) => type === "content_block_delta").length > 1,
    "the answer came in one piece",
  );
});

await checks.check("streaming: the package's own assembly of a message", async () => {
  const stream = client.messages.stream({ ...greedy });
  const deltas = [];
  stream.on("text", (delta) => deltas.push(delta));
  const final = await stream.finalMessage();
  assert.equal(textOf(final), deltas.join(""));
  assert.ok(["max_tokens", "end_turn"].includes(final.stop_reason));
  assert.ok(final.usage.output_tokens > 0);
});

await checks.check("stop_sequences: the answer ends before, and says which it was", async () => {
  const text = textOf(await client.messages.create(greedy));
  const stop = text.slice(Math.floor(text.length / 2)).slice(0, 3);
  const answer = await client.messages.create({ ...greedy, stop_sequences: ["\u0001never", stop] });
  assert.equal(textOf(answer), text.slice(0, text.indexOf(stop)));
  assert.deepEqual([answer.stop_reason, answer.stop_sequence], ["stop_sequence", stop]);
});

await checks.check("system: text or blocks, and it is read", async () => {
  const said = await client.messages.create({ ...greedy, system: "The sea is wide." });
  const blocks = await client.messages.create({
    ...greedy,
    system: [{ type: "text", text: "The sea is wide." }],
  });
  assert.equal(textOf(said), textOf(blocks));
  assert.ok(said.usage.input_tokens > (await client.messages.create(greedy)).usage.input_tokens);
});

await checks.check("errors: of Anthropic's classes and shape", async () => {
  await assert.rejects(client.messages.create({ ...greedy, max_tokens: undefined }), (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError, String(error));
    assert.deepEqual(
      [error.status, error.error.type, error.error.error.type],
      [400, "error", "invalid_request_error"],
    );
    return true;
  });
  await assert.rejects(client.messages.create({ ...greedy, max_tokens: "ten" }), Anthropic.BadRequestError);
  await assert.rejects(client.messages.create({ ...greedy, model: "other" }), Anthropic.NotFoundError);
});

if (key) {
  await checks.check("errors: a wrong key is AuthenticationError", () =>
    assert.rejects(
      new Anthropic({ baseURL: url, apiKey: `${key}x`, maxRetries: 0 }).messages.create(greedy),
      Anthropic.AuthenticationError,
    ),
  );
} else checks.skip("errors: a wrong key", "the server was started without --api-key");

await checks.check("abort: a stream that is given up stops running within a second", async () => {
  const stream = client.messages.stream({
    ...greedy,
    temperature: 1,
    max_tokens: Math.min(400, props.context - 100),
  });
  await new Promise((resolve, reject) => {
    stream.once("text", resolve);
    stream.once("error", reject);
  });
  stream.abort();
  await stream
    .done()
    .catch((error) => assert.ok(error instanceof Anthropic.APIUserAbortError, String(error)));
  await eventually("no request runs", 1000, async () => (await running(url)) === 0);
});

checks.finish();
