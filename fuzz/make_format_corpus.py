#!/usr/bin/python3
"""Writes the first inputs of fuzz_gguf, fuzz_safetensors and fuzz_ternary_codec.

Run from the root of the project: python3 fuzz/make_format_corpus.py
"""

import json
import os
import random
import struct

random.seed(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def save(fuzzer, name, data):
    folder = os.path.join(HERE, "corpus", fuzzer)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def text(s):
    return u64(len(s)) + s.encode()


def gguf(entries, tensors, version=3, alignment=32):
    """`entries` are (key, bytes of type and value); `tensors` are (name, dims, id, bytes)."""
    head = b"GGUF" + u32(version) + u64(len(tensors)) + u64(len(entries))
    for key, value in entries:
        head += text(key) + value
    data = b""
    for name, dims, type_id, content in tensors:
        head += text(name) + u32(len(dims)) + b"".join(u64(d) for d in dims)
        head += u32(type_id) + u64(len(data))
        data += content + bytes(-len(content) % alignment)
    return head + bytes(-len(head) % alignment) + data


def codes(n):
    return bytes(random.choice((0x00, 0x15, 0x55, 0x6A, 0xAA, 0x81)) for _ in range(n))


HALF = b"\x00\x38"  # 0.5 as f16.
arch = ("general.architecture", u32(8) + text("llama"))
scalars = [(f"k{t}", u32(t) + bytes([1]) + bytes(n - 1))
           for t, n in enumerate((1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)) if n]
arrays = [
    ("tokenizer.ggml.tokens", u32(9) + u32(8) + u64(3) + text("a") + text("") + text("bc")),
    ("tokenizer.ggml.scores", u32(9) + u32(6) + u64(2) + struct.pack("<2f", 0.5, -1)),
    ("tokenizer.ggml.token_type", u32(9) + u32(5) + u64(3) + struct.pack("<3i", 1, 1, 3)),
]
save("gguf", "empty", gguf([], []))
save("gguf", "version2", gguf([arch], [], version=2))
save("gguf", "values", gguf([arch] + scalars + arrays, []))
save("gguf", "floats", gguf([arch], [("a", (4, 2), 0, bytes(32)), ("b", (3,), 1, bytes(6)),
                                     ("c", (2, 2, 2, 2), 30, bytes(32))]))
save("gguf", "aligned64", gguf([("general.alignment", u32(4) + u32(64))],
                               [("a", (1,), 0, bytes(4)), ("b", (1,), 0, bytes(4))], alignment=64))
save("gguf", "blocks", gguf([], [("q8", (32,), 8, bytes(34)), ("q4", (32,), 2, bytes(18)),
                                 ("q6", (256,), 14, bytes(210))]))
save("gguf", "ternary", gguf([], [
    ("tq1", (256,), 34, codes(52) + HALF), ("tq2", (256,), 35, codes(64) + HALF),
    ("i2s", (128, 4), 36, codes(128) + bytes(32)), ("iq1", (64,), 134, HALF + codes(13)),
    ("iq2", (64,), 135, bytes(4) + codes(16)), ("r4", (64, 4), 335, bytes(16) + codes(64))]))
save("gguf", "q2_0_groups_of_64", gguf([], [("w", (256, 4), 42, codes(4 * 72))]))
save("gguf", "q2_0_groups_of_128", gguf([], [("w", (256, 8), 42, codes(8 * 68))]))
save("gguf", "prism", gguf([], [("a", (256, 2), 142, codes(136)), ("b", (256, 2), 143, codes(112))]))
save("gguf", "tl1", gguf([], [("w", (256, 4), 38, codes(256))]))


def safetensors(header, data):
    blob = json.dumps(header).encode()
    blob += b" " * (-len(blob) % 8)
    return u64(len(blob)) + blob + data


save("safetensors", "empty", safetensors({}, b""))
save("safetensors", "two", safetensors({
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}}, bytes(22)))
sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
         "BOOL": 1}
header, at = {}, 0
for dtype, size in sizes.items():
    header[dtype] = {"dtype": dtype, "shape": [1, 2], "data_offsets": [at, at + 2 * size]}
    at += 2 * size
save("safetensors", "every_dtype", safetensors(header, bytes(at)))
save("safetensors", "scalar_and_empty", safetensors({
    "s": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]},
    "z": {"dtype": "I64", "shape": [0, 3], "data_offsets": [1, 1]}}, bytes(1)))

# Type, rows - 1, columns / block - 1, then the tensor. The types in the order of the fuzzer's table.
for index, tail in enumerate((HALF, HALF, bytes(28), bytes(28), bytes(28), b"", b"", b"", b"", b"",
                              b"", HALF)):
    save("ternary_codec", f"type{index}", bytes([index, 3, 1]) + codes(96) + tail)
save("ternary_codec", "tq2_one_block", bytes([1, 0, 0]) + codes(64) + HALF)
save("ternary_codec", "q2_group", bytes([6, 1, 1]) + HALF + codes(32))
save("ternary_codec", "iq2_row", bytes([8, 2, 0]) + struct.pack("<f", 0.25) + codes(16))
save("ternary_codec", "code_3", bytes([2, 3, 0]) + b"\xff" * 40)
