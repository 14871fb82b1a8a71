// A stand-in for a language model: words chosen by a hash of what stands before them. It makes no
// sense, like a tiny real one, but it is deterministic and has probabilities, seeds and biases.

const WORDS = [
  " the",
  " a",
  " bird",
  " tern",
  " sea",
  " flew",
  " over",
  " and",
  " then",
  " saw",
  " small",
  " white",
  " wave",
  " sang",
  " of",
  " in",
  " to",
  ",",
  ".",
  "\n",
  "Once",
  " upon",
  " time",
  " wind",
  " light",
  " day",
  " night",
  " was",
  " is",
  " it",
  "海",
  "鳥",
  "は",
  "の",
  "を",
  "が",
  "に",
  "と",
  "空",
  "白い",
  "小さな",
  "飛ぶ",
  "見た",
  "。",
  "、",
  "です",
  "ました",
  "🐦",
  "🌊",
  "é",
];
const FIRST = 10; // The id of WORDS[0]; below are the special tokens.
const END = 2;
const CHARACTER = 1000; // Any other character is this plus its code point.
const VOCABULARY = CHARACTER + 0x110000;

const byText = new Map(WORDS.map((word, index) => [word, FIRST + index]));
const longest = Math.max(...WORDS.map((word) => word.length));

export function encode(text) {
  const ids = [];
  for (let i = 0; i < text.length;) {
    let found = null;
    for (let length = longest; length > 0 && !found; --length) {
      const word = text.slice(i, i + length);
      if (word.length === length && byText.has(word)) found = word;
    }
    if (found) ids.push(byText.get(found));
    else ids.push(CHARACTER + text.codePointAt(i));
    i += found ? found.length : text.codePointAt(i) > 0xffff ? 2 : 1;
  }
  return ids;
}

export function piece(id) {
  if (id === END) return "";
  if (id >= FIRST && id < FIRST + WORDS.length) return WORDS[id - FIRST];
  return id >= CHARACTER && id < VOCABULARY ? String.fromCodePoint(id - CHARACTER) : "";
}

export const decode = (ids) => ids.map(piece).join("");
export const vocabulary = VOCABULARY;

// A hash of numbers, 0 to 1.
function hash(...values) {
  let h = 0x811c9dc5;
  for (const value of values) {
    h = Math.imul(h ^ value, 0x01000193);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  }
  h ^= h >>> 13;
  return (h >>> 0) / 2 ** 32;
}

export function randomFrom(seed) {
  let count = 0;
  return () => hash(seed | 0, ++count, 77);
}

// [{id, logprob}] after these ids, likeliest first; `also` is a token that must be among them.
export function distribution(ids, { bias = {}, also = null } = {}) {
  const last = ids.slice(-3);
  const candidates = WORDS.map((_, index) => FIRST + index);
  for (const id of [also, ...Object.keys(bias).map(Number)]) {
    if (id !== null && !candidates.includes(id)) candidates.push(id);
  }
  const scores = candidates.map((id) => ({
    id,
    score: 5 * hash(id, ...last) - (id < CHARACTER ? 0 : 4) + (bias[id] ?? 0),
  }));
  const top = Math.max(...scores.map(({ score }) => score));
  const sum = Math.log(scores.reduce((all, { score }) => all + Math.exp(score - top), 0)) + top;
  return scores.map(({ id, score }) => ({ id, logprob: score - sum })).sort((a, b) => b.logprob - a.logprob);
}

function choose(options, temperature, random) {
  if (temperature === 0) return options[0];
  const weights = options.map(({ logprob }) => Math.exp(logprob / temperature));
  let left = random() * weights.reduce((a, b) => a + b, 0);
  return options.find((_, index) => (left -= weights[index]) <= 0) ?? options[0];
}

// The tokens of an answer, one at a time: {id, logprob, top}.
export function* generate(prompt, { temperature = 0.8, seed, bias = {}, limit }) {
  const random = randomFrom(seed ?? Math.floor(Math.random() * 2 ** 31));
  const ids = [...prompt];
  for (let i = 0; i < limit; ++i) {
    const options = distribution(ids, { bias });
    const { id, logprob } = choose(options, temperature, random);
    ids.push(id);
    yield { id, logprob, top: options };
  }
}

// A value that a schema allows: enough of JSON schema for the tests.
export function valueOf(schema, random) {
  if (schema.enum) return schema.enum[Math.floor(random() * schema.enum.length)];
  switch (schema.type) {
    case "object":
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, valueOf(inner, random)]),
      );
    case "array": {
      const [low, high] = [schema.minItems ?? 0, schema.maxItems ?? 3];
      return Array.from({ length: low + Math.floor(random() * (high - low + 1)) }, () =>
        valueOf(schema.items, random),
      );
    }
    case "integer":
      return (
        (schema.minimum ?? 0) + Math.floor(random() * ((schema.maximum ?? 99) - (schema.minimum ?? 0) + 1))
      );
    case "number":
      return Math.round(random() * 1000) / 10;
    case "boolean":
      return random() < 0.5;
    default:
      return WORDS[Math.floor(random() * WORDS.length)];
  }
}

// A vector of length 1 that depends on the tokens alone.
export function embed(ids) {
  const raw = Array.from({ length: 32 }, (_, i) =>
    ids.reduce((sum, id, at) => sum + hash(id, at, i) - 0.5, 0.01 * hash(i)),
  );
  const length = Math.hypot(...raw);
  return raw.map((x) => Math.fround(x / length));
}
