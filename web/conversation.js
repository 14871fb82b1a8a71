// A conversation as data: a tree of messages, of which one way from the root to a leaf is shown.
// Editing or regenerating adds a sibling, so that nothing that was said is lost.

export const FORMAT = 1;
const STATES = ["done", "length", "stopped", "lost", "error", "streaming"];

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}

export function newConversation(system = "") {
  const now = Date.now();
  return {
    format: FORMAT,
    id: newId(),
    title: "",
    named: false,
    created: now,
    updated: now,
    system,
    leaf: null,
    messages: [],
  };
}

export function find(conversation, id) {
  return conversation.messages.find((message) => message.id === id) ?? null;
}

export function append(conversation, parent, fields) {
  const message = {
    id: newId(),
    parent,
    created: Date.now(),
    role: "user",
    text: "",
    state: "done",
    ...fields,
  };
  conversation.messages.push(message);
  conversation.leaf = message.id;
  if (!conversation.named && conversation.title === "" && message.role === "user") {
    conversation.title = shortTitle(message.text);
  }
  return message;
}

// The messages that are shown, first to last.
export function path(conversation, leaf = conversation.leaf) {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]));
  const way = [];
  for (let message = byId.get(leaf); message; message = byId.get(message.parent)) way.push(message);
  return way.reverse();
}

export function siblings(conversation, message) {
  return conversation.messages.filter(
    (other) => other.parent === message.parent && other.role === message.role,
  );
}

// Shows `message` and, below it, what was said last.
export function select(conversation, message) {
  let leaf = message;
  for (;;) {
    const children = conversation.messages.filter((other) => other.parent === leaf.id);
    if (children.length === 0) break;
    leaf = children[children.length - 1];
  }
  conversation.leaf = leaf.id;
}

// Removes a message and everything below it; shows a sibling if there is one, else what stood before.
export function remove(conversation, message) {
  const others = siblings(conversation, message).filter((other) => other !== message);
  const gone = new Set([message.id]);
  for (const other of conversation.messages) {
    if (gone.has(other.parent)) gone.add(other.id); // Parents stand before their children.
  }
  conversation.messages = conversation.messages.filter((other) => !gone.has(other.id));
  if (others.length > 0) select(conversation, others[others.length - 1]);
  else conversation.leaf = message.parent;
}

// At most 48 characters of the first line, never cutting one in two.
export function shortTitle(text) {
  const line = text
    .trim()
    .split("\n", 1)[0]
    .replace(/[ \t]+/g, " ")
    .slice(0, 400);
  const characters =
    typeof Intl.Segmenter === "function"
      ? Array.from(new Intl.Segmenter().segment(line), (part) => part.segment)
      : Array.from(line);
  return characters.length <= 48 ? line : characters.slice(0, 47).join("") + "…";
}

// What is stored and exported: probabilities of tokens are left out, they are a hundred times the text.
export function plain(conversation) {
  const messages = conversation.messages.map(({ id, parent, created, role, text, state, error, meta }) => ({
    id,
    parent,
    created,
    role,
    text,
    state,
    error,
    meta,
  }));
  return { ...conversation, messages };
}

const isText = (value) => typeof value === "string";
const isTime = (value) => Number.isFinite(value) && value > 0;

// A conversation from stored or foreign JSON. What is broken in it is left out; null if nothing is
// left, or if a later version has written it.
export function revive(value) {
  if (value === null || typeof value !== "object" || value.format !== FORMAT) return null;
  if (!isText(value.id) || !Array.isArray(value.messages)) return null;
  const known = new Set();
  const messages = [];
  for (const one of value.messages) {
    if (one === null || typeof one !== "object" || !isText(one.id) || !isText(one.text)) continue;
    if (one.role !== "user" && one.role !== "assistant") continue;
    if (known.has(one.id) || (one.parent !== null && !known.has(one.parent))) continue;
    known.add(one.id);
    messages.push({
      id: one.id,
      parent: one.parent,
      role: one.role,
      text: one.text,
      created: isTime(one.created) ? one.created : Date.now(),
      // What was still being written when the page went away was cut off.
      state:
        one.state === "streaming" || !STATES.includes(one.state)
          ? one.role === "user"
            ? "done"
            : "lost"
          : one.state,
      error: reviveError(one.error),
      meta: reviveMeta(one.meta),
    });
  }
  return {
    format: FORMAT,
    id: value.id,
    title: isText(value.title) ? value.title : "",
    named: value.named === true,
    created: isTime(value.created) ? value.created : Date.now(),
    updated: isTime(value.updated) ? value.updated : Date.now(),
    system: isText(value.system) ? value.system : "",
    leaf: known.has(value.leaf) ? value.leaf : (messages.at(-1)?.id ?? null),
    messages,
  };
}

function reviveError(error) {
  if (error === null || typeof error !== "object" || !isText(error.kind) || !isText(error.sentence))
    return undefined;
  return {
    kind: error.kind,
    sentence: error.sentence,
    status: Number(error.status) || 0,
    code: isText(error.code) ? error.code : null,
  };
}

function reviveMeta(meta) {
  if (meta === null || typeof meta !== "object") return undefined;
  const numbers = {};
  for (const name of ["tokens", "prompt", "speed"])
    if (Number.isFinite(meta[name])) numbers[name] = meta[name];
  return { ...numbers, model: isText(meta.model) ? meta.model : "" };
}

// What is shown of a conversation, as a Markdown file; `words` are the headings.
export function toMarkdown(conversation, words) {
  const parts = [`# ${conversation.title.replaceAll("\n", " ")}`];
  if (conversation.system) parts.push(`## ${words.system}`, conversation.system);
  for (const message of path(conversation)) {
    parts.push(`## ${message.role === "user" ? words.user : words.assistant}`, message.text);
  }
  return parts.join("\n\n") + "\n";
}

export function toJson(conversation) {
  return JSON.stringify(plain(conversation), null, 2) + "\n";
}
