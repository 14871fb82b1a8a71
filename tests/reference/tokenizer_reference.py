#!/usr/bin/python3
"""A second, slow tokenizer, written from the published patterns, and the golden file made with it.

Usage: tokenizer_reference.py > tern/tokenizer/testdata/golden.json

Words are cut by the patterns themselves: Python's `re` knows no \\p{L}, so every character outside
ASCII is first replaced by one that stands for its category. Merging is the textbook loop: look at
all neighbours, join the best pair, begin again.
"""
import json
import re
import unicodedata

WHITE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(c) for c in range(0x2000, 0x200B))
# What stands for letters, numbers, blanks, punctuation and the rest.
LETTER, NUMBER, BLANK, PUNCT, OTHER = "λ", "²", "\xa0", "¡", "€"

L = "a-zA-ZſK" + LETTER
N = "0-9" + NUMBER
S = r" \t\n\x0b\x0c\r" + BLANK
P = re.escape("!\"#%&'()*,-./:;?@[\\]_{}") + PUNCT

LLAMA = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n{L}{N}]?[{L}]+|[{N}]{DIGITS}| ?[^{S}{L}{N}]+[\r\n]*"
         r"|[{S}]*[\r\n]+|[{S}]+(?![^{S}])|[{S}]+")
GPT2 = (r"'s|'t|'re|'ve|'m|'ll|'d| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+|[{S}]+(?![^{S}])|[{S}]+")
PATTERNS = {
    "gpt-2": [GPT2],
    "llama-bpe": [LLAMA.replace("{DIGITS}", "{1,3}")],
    "qwen2": [LLAMA.replace("{DIGITS}", "")],
    "falcon": [r"[{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"],
    "default": [r"[{P}$+<=>^~|]+", GPT2, r"[{N}]+", "[0-9][0-9][0-9]"],
}


def stand_in(c):
    if c in WHITE:
        return c if c < "\x80" else BLANK
    if c < "\x80" or c == "ſ":
        return c
    category = unicodedata.category(c)[0]
    return {"L": LETTER, "N": NUMBER, "P": PUNCT}.get(category, OTHER)


def words(name, text):
    parts = [text]
    for pattern in PATTERNS[name]:
        for key, value in (("{L}", L), ("{N}", N), ("{S}", S), ("{P}", P)):
            pattern = pattern.replace(key, value)
        cut = []
        for part in parts:
            at = 0
            for match in re.finditer(pattern, "".join(map(stand_in, part))):
                cut += [part[at:match.start()], part[match.start():match.end()]]
                at = match.end()
            cut.append(part[at:])
        parts = [p for p in cut if p]
    return parts


def byte_alphabet():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in visible]
    return {b: chr(b) if b in visible else chr(0x100 + hidden.index(b)) for b in range(256)}


ALPHABET = byte_alphabet()


def merge_by_rank(symbols, ranks):
    symbols = list(symbols)
    while True:
        pairs = [(ranks[p], i) for i, p in enumerate(zip(symbols, symbols[1:])) if p in ranks]
        if not pairs:
            return symbols
        _, i = min(pairs)
        symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]


def merge_by_score(symbols, scores):
    symbols = list(symbols)
    while True:
        pairs = [(-scores[a + b], i) for i, (a, b) in enumerate(zip(symbols, symbols[1:]))
                 if a + b in scores]
        if not pairs:
            return symbols
        _, i = min(pairs)
        symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]


def train_merges(corpus, count):
    """The most frequent neighbours of a list of symbol lists, `count` times."""
    corpus = [list(w) for w in corpus]
    merges = []
    for _ in range(count):
        seen = {}
        for word in corpus:
            for pair in zip(word, word[1:]):
                seen[pair] = seen.get(pair, 0) + 1
        best = max(seen, key=lambda p: (seen[p], p))
        merges.append(best)
        for word in corpus:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i:i + 2] = [best[0] + best[1]]
                i += 1
    return merges


TRAINING = (
    "The quick brown fox jumps over the lazy dog, and they're sure that it's what we'd do. "
    "I've 12 apples; you'll have 345.67 of them!  He said: \"No -- never.\"\n\n\tIndented text\r\n"
    "いろはにほへと ちりぬるを。わかよたれそ 日本語の文章、日本語の単語。 "
    "Съешь же ещё этих мягких французских булок. Ça été déjà vu. 🙂🙂 the the then there these")

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\r\n", "\r\n\r\n  x", "a", " a", "  a", "   the end   ",
    "Hello, world! They're here; THEY'RE HERE, it'S we'LL 'Dd 'ſo", "I've 1 12 123 1234 12345 tests",
    "x=1;\n\n\n\ty += 2 \n ", "...!!!??? ``code`` <|eot_id|> $5+3=8 ~^|",
    "日本語の文章。いろはにほへと、ちりぬるを", "ｶﾞ が か\u3099 全角　空白",
    "🙂 👩‍👩‍👧‍👦 🏳️‍🌈 ✅", "½ ⅷ Ⅷ ٣٤٥ ௧௨ 1२3", "naïve cafe\u0301 déjà Ångström A\u030angstro\u0308m",
    "a\u00a0b\u00a0 c\u2003\u2003d\u0085e\u2028f", "\ufeffBOM a\u200bb\u200dc", "Съешь ещё, ЁЖ",
    "tab\tand  many     blanks      here\n   \n  x\n", "can't won't 'tis 're' ''s",
    "end with blanks   ", "\x00\x01\x7f control", "मनीष हिन्दी ไทย ភាសា", "_snake_case-and.dots/paths\\here",
    "\u180e\u200b\u2060", "ﬁ ﬂ Ⓐ ªº", "한국어 \u1112\u1161\u11ab", "a" * 40 + " " * 17 + "7" * 10,
]

NFC_TEXTS = ["cafe\u0301", "A\u030a", "\u212b", "か\u3099", "\u1112\u1161\u11ab", "\uac00\u11a8",
             "q\u0307\u0323", "q\u0323\u0307", "\u0344", "\u0958", "\ufb1d", "a\u0315\u0300\u05ae\u0062",
             "\u2126 \u212a", "\U0001d15e", "\u0b47\u0300\u0b3e", "\u1e0a\u0323", "\ufa0e\uf900",
             "\U0002f800", "\u0300a", "e\u0301\u0302", "\u1100\uac00\u11a8", "\u0cc6\u0cc2\u0cd5"]


def byte_bpe():
    corpus = [[ALPHABET[b] for b in w.encode()] for w in words("llama-bpe", TRAINING)]
    merges = train_merges(corpus, 120)
    pieces = [ALPHABET[b] for b in range(256)] + [a + b for a, b in merges]
    return pieces, merges


def spm():
    text = "\u2581" + TRAINING.replace(" ", "\u2581")
    # As SentencePiece does: a blank stands only at the beginning of a piece.
    merges = train_merges(re.findall("\u2581*[^\u2581]*", text), 150)
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    scores = [0.0] * len(pieces)
    for i, (a, b) in enumerate(merges):
        if a + b not in pieces:
            pieces.append(a + b)
            scores.append(-float(i))
    for c in sorted(set(TRAINING.replace(" ", "\u2581")) - set("\n\t\r")):
        pieces.append(c)
        scores.append(-1000.0 - len(pieces))
    return pieces, scores


def main():
    pieces, merges = byte_bpe()
    ids = {p: i for i, p in enumerate(pieces)}
    ranks = {pair: i for i, pair in enumerate(merges)}
    golden = {"texts": TEXTS, "byte_bpe": {"pieces": pieces, "merges": merges}, "words": {}, "ids": {}}
    for name in PATTERNS:
        cut = [words(name, t) for t in TEXTS]
        golden["words"][name] = cut
        golden["ids"][name] = [
            [ids[s] for w in ws for s in merge_by_rank([ALPHABET[b] for b in w.encode()], ranks)]
            for ws in cut]

    pieces, scores = spm()
    ids = {p: i for i, p in enumerate(pieces)}
    words_only = {p: s for p, s in zip(pieces[259:], scores[259:])}
    golden["spm"] = {"pieces": pieces, "scores": scores}
    golden["spm_ids"] = []
    for text in TEXTS:
        symbols = merge_by_score("\u2581" + text.replace(" ", "\u2581"), words_only) if text else []
        out = []
        for s in symbols:
            out += [ids[s]] if s in words_only else [3 + b for b in s.encode()]
        golden["spm_ids"].append(out)

    golden["nfc"] = [[t, unicodedata.normalize("NFC", t)] for t in NFC_TEXTS]
    print(json.dumps(golden, ensure_ascii=True, separators=(",", ":")))


if __name__ == "__main__":
    main()
