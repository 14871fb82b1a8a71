#!/usr/bin/python3
"""Writes the first inputs of the tokenizer fuzzers into corpus/, beside this file."""
import base64
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_alphabet():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in visible]
    return [chr(b) if b in visible else chr(0x100 + hidden.index(b)) for b in range(256)]


def write(folder, name, data):
    path = HERE / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def token(number, content, special):
    return {"id": number, "content": content, "special": special, "lstrip": True, "rstrip": True,
            "normalized": False, "single_word": False}


def tokenizer_json():
    ascii_only = {c: i for i, c in enumerate(byte_alphabet())}
    split = {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}
    base = {"added_tokens": [token(257, "<s>", True), token(258, "<t>", False)],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
            "post_processor": template,
            "model": {"type": "BPE", "vocab": {**ascii_only, "ab": 256}, "merges": ["a b"]}}
    yield "llama3", base
    yield "sidecar", {**base, "sidecar": {
        "bos_token": "<s>", "eos_token": {"content": "<t>"}, "add_bos_token": True,
        "eos_token_id": [257, 258], "added_tokens_decoder": {"259": {"content": "<pad>"}}}}
    yield "gpt2", {**base, "normalizer": None, "post_processor": None,
                   "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}
    spm = {"<unk>": 0, "<s>": 1, "\u2581": 2, "a": 3, "\u2581a": 4}
    model = {"type": "BPE", "unk_token": "<unk>", "vocab": spm, "merges": [["\u2581", "a"]]}
    normalizer = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    yield "llama2", {"added_tokens": [token(1, "<s>", True)], "normalizer": normalizer,
                     "pre_tokenizer": None, "model": model}
    yield "metaspace", {"model": model, "pre_tokenizer": {
        "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}}
    yield "pair", {"pair": {**ascii_only, "ab": 256, "<|endoftext|>": 257}}


def field(number, value):
    def varint(n):
        out = b""
        while n >= 0x80:
            out += bytes([n & 0x7F | 0x80])
            n >>= 7
        return out + bytes([n])
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def sentence_piece():
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
    pieces += [(f"<0x{b:02X}>", 6) for b in range(256)]
    pieces += [("\u2581", 1), ("a", 1), ("\u2581a", 1), ("x\u2581y", 4), ("unused", 5)]
    out = b""
    for i, (text, kind) in enumerate(pieces):
        out += field(1, field(1, text.encode()) + field(2, -float(i)) + field(3, kind))
    trainer = field(3, 2) + field(4, len(pieces)) + field(35, 1) + field(40, 0) + field(41, 1)
    return out + field(2, trainer) + field(3, field(1, b"identity") + field(3, 1) + field(4, 0))


def main():
    for name, value in tokenizer_json():
        write("tokenizer_json", name, json.dumps(value))
    write("tokenizer_model", "sentencepiece", sentence_piece())
    write("tokenizer_model", "no_bytes", field(1, field(1, b"<unk>") + field(3, 2)) +
          field(1, field(1, b"a")) + field(2, field(3, 2)))
    ranks = [bytes([b]) for b in range(256)] + [b"ab", b"abc"]
    write("tokenizer_model", "tiktoken", "".join(
        f"{base64.b64encode(r).decode()} {i}\n" for i, r in enumerate(ranks)))
    for name, text in {
            "english": "The cafés, they're  here: 12345 <s>the end<|end|>",
            "japanese": "日本語の文章。ああ、か\u3099",
            "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈\r\n\r\n",
            "blanks": "   \t\n \u00a0\u3000 x \u0085",
            "tokens": " <t> a <s> <|end|",
    }.items():
        write("tokenizer_encode", name, text)
    write("tokenizer_encode", "broken", b"a\xff\xe3\x81 \xc0\x80z\xf0\x9f <s\x00>")


if __name__ == "__main__":
    main()
