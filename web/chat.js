// The conversation that is open and the answers being written: what happens, without how it looks.
//
// Events: "open" (another conversation), "change" (its messages), "progress" (detail: the message that
// has grown), "finish" (detail: the message whose answer has ended), "list" (the list of
// conversations), "full" (the browser did not store it).

import { ApiError } from "./api.js";
import * as tree from "./conversation.js";
import { SAMPLING } from "./settings.js";
import { TokenTrack } from "./tokens.js";

const SAVE_EVERY_MS = 1000;

export class Chat extends EventTarget {
  // `props()` is what /props said, or null.
  constructor({ api, store, settings, props }) {
    super();
    Object.assign(this, { api, store, settings, props });
    this.runs = new Map(); // Conversation id to its run: one answer at a time in each.
    this.conversation = tree.newConversation(settings.get("system"));
    store.onForeignChange((id) => this.#changedElsewhere(id));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // The answer being written in the open conversation.
  get run() {
    return this.runs.get(this.conversation.id) ?? null;
  }

  get path() {
    return tree.path(this.conversation);
  }

  fresh() {
    this.conversation = tree.newConversation(this.settings.get("system"));
    this.#tell("open");
  }

  open(id) {
    const conversation = this.runs.get(id)?.conversation ?? this.store.load(id);
    if (!conversation) return false;
    this.conversation = conversation;
    this.#tell("open");
    return true;
  }

  // A tab that writes keeps its own; one that only shows follows the other.
  #changedElsewhere(id) {
    this.#tell("list");
    if (this.run || (id !== null && id !== this.conversation.id)) return;
    const conversation = this.store.load(this.conversation.id);
    if (!conversation) return;
    this.conversation = conversation;
    this.#tell("change");
  }

  #save(conversation = this.conversation) {
    if (conversation.messages.length === 0) return;
    conversation.updated = Date.now();
    if (!this.store.save(conversation)) this.#tell("full");
    this.#tell("list");
  }

  setSystem(text) {
    this.conversation.system = text;
    this.#save();
  }

  rename(id, title) {
    this.#with(id, (conversation) => {
      conversation.title = title;
      conversation.named = true;
    });
    if (id === this.conversation.id) this.#tell("change");
  }

  // The conversation of this id, as it is in memory where it is.
  get(id) {
    if (id === this.conversation.id) return this.conversation;
    return this.runs.get(id)?.conversation ?? this.store.load(id);
  }

  #with(id, change) {
    const conversation = this.get(id);
    if (!conversation) return;
    change(conversation);
    if (!this.store.save(conversation)) this.#tell("full");
    this.#tell("list");
  }

  removeConversation(id) {
    const run = this.runs.get(id);
    if (run) {
      run.discard = true;
      run.controller.abort();
    }
    this.store.remove(id);
    this.#tell("list");
    if (id === this.conversation.id) this.fresh();
  }

  send(text) {
    if (this.run) return null;
    const user = tree.append(this.conversation, this.conversation.leaf, { role: "user", text });
    return this.#answer(user);
  }

  // Another answer to the same message, beside the one there is.
  regenerate(message) {
    if (this.run) return null;
    const user = tree.find(this.conversation, message.parent);
    return user ? this.#answer(user) : null;
  }

  // The message said otherwise, beside the one there is.
  edit(message, text) {
    if (this.run) return null;
    return this.#answer(tree.append(this.conversation, message.parent, { role: "user", text }));
  }

  select(message) {
    if (this.run) return;
    tree.select(this.conversation, message);
    this.#save();
    this.#tell("change");
  }

  remove(message) {
    if (this.run) return;
    tree.remove(this.conversation, message);
    if (this.conversation.messages.length === 0) this.store.remove(this.conversation.id);
    this.#save();
    this.#tell("list");
    this.#tell("change");
  }

  stop() {
    this.run?.controller.abort();
  }

  saveNow() {
    for (const run of this.runs.values()) this.#save(run.conversation);
  }

  #messages(conversation, user) {
    const said = tree.path(conversation, user.id).map(({ role, text }) => ({ role, content: text }));
    return conversation.system.trim() ? [{ role: "system", content: conversation.system }, ...said] : said;
  }

  // What is asked for where no limit is set: a quarter of the context, so that a second message has room.
  maxTokens() {
    return (
      this.settings.get("max_tokens") ??
      Math.max(16, Math.min(1024, Math.floor((this.props()?.context ?? 4096) / 4)))
    );
  }

  #request(messages) {
    const body = { messages, stream: true, stream_options: { include_usage: true } };
    for (const { name } of SAMPLING) {
      if (this.settings.get(name) !== null) body[name] = this.settings.get(name);
    }
    body.max_tokens = this.maxTokens();
    if (this.settings.get("probabilities")) Object.assign(body, { logprobs: true, top_logprobs: 5 });
    return body;
  }

  async #answer(user) {
    const { conversation } = this;
    const message = tree.append(conversation, user.id, {
      role: "assistant",
      state: "streaming",
      meta: { model: this.props()?.model?.id ?? "" },
    });
    const run = {
      conversation,
      message,
      controller: new AbortController(),
      discard: false,
      started: performance.now(),
      first: null,
      tokens: 0,
      prompt: null,
      saved: performance.now(),
    };
    message.track = new TokenTrack();
    this.runs.set(conversation.id, run);
    this.#save(conversation);
    this.#tell("change");
    const { signal } = run.controller;
    const messages = this.#messages(conversation, user);
    this.api.countPrompt(messages, signal).then((count) => {
      run.prompt ??= count;
    });
    try {
      for await (const chunk of this.api.chat(this.#request(messages), signal)) this.#take(run, chunk);
      if (message.state === "streaming") message.state = "done";
    } catch (error) {
      this.#fail(message, error, signal);
    }
    this.#end(run);
    return message;
  }

  #take(run, chunk) {
    const { message } = run;
    const choice = chunk.choices?.[0];
    const text = choice?.delta?.content ?? "";
    if (text !== "" || choice?.logprobs?.content?.length) {
      run.first ??= performance.now();
      run.tokens += choice.logprobs?.content?.length ?? 1;
      message.text += text;
      message.track.add(choice.logprobs?.content, message.text);
    }
    if (choice?.finish_reason === "length") message.state = "length";
    if (chunk.usage) {
      run.prompt = chunk.usage.prompt_tokens;
      run.tokens = chunk.usage.completion_tokens;
    }
    if (chunk.timings?.predicted_per_second > 0) run.speed = chunk.timings.predicted_per_second;
    const now = performance.now();
    if (now - run.saved > SAVE_EVERY_MS) {
      run.saved = now;
      this.#save(run.conversation);
    }
    this.#tell("progress", message);
  }

  #fail(message, error, signal) {
    if (signal.aborted) {
      message.state = "stopped";
      return;
    }
    const known = error instanceof ApiError ? error : new ApiError("lost", String(error.message ?? error));
    message.state = known.kind === "lost" ? "lost" : "error";
    message.error = { kind: known.kind, sentence: known.message, status: known.status, code: known.code };
  }

  #end(run) {
    const { conversation, message } = run;
    this.runs.delete(conversation.id);
    message.meta = { ...message.meta, tokens: run.tokens };
    if (run.prompt !== null) message.meta.prompt = run.prompt;
    const speed = speedOf(run);
    if (speed !== null) message.meta.speed = speed;
    if (run.discard) return;
    this.#save(conversation);
    if (conversation === this.conversation) this.#tell("change");
    this.#tell("finish", message);
  }
}

// Tokens per second: as the server says, until then since the first one; null before there are two.
export function speedOf(run) {
  if (run.speed) return run.speed;
  const seconds = (performance.now() - run.first) / 1000;
  return run.first !== null && run.tokens > 1 && seconds > 0 ? (run.tokens - 1) / seconds : null;
}
