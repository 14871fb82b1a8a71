#!/usr/bin/python3
"""Writes tern/quant/testdata/codec_goldens.h: bytes of every storage type, and what they mean.

Written from docs/formats/ternary.md and gguf.md with loops over single weights, not from tern's C++.
Run from the root of the project: python3 tests/reference/make_codec_goldens.py
"""

import numpy as np

OUT = "tern/quant/testdata/codec_goldens.h"
rng = np.random.default_rng(20261122)


def digits(rows, cols):
    return rng.integers(-1, 2, (rows, cols))


def f16(x):
    return np.float16(x).tobytes()


def f32(x):
    return np.float32(x).tobytes()


def ceil_243(v):
    return -(-256 * v // 243)


def put(out, index, shift, code):
    out[index] |= int(code) << shift


def tq2_0(w, scales):
    out = b""
    for r, row in enumerate(w):
        for b in range(len(row) // 256):
            block = bytearray(64)
            for i in range(256):
                h, s, j = i // 128, i % 128 // 32, i % 32
                put(block, 32 * h + j, 2 * s, row[256 * b + i] + 1)
            out += bytes(block) + f16(scales[r][b])
    return out


def tq1_0(w, scales, group=256):
    """TQ1_0, and with group 128 PTQ1_0."""
    out = b""
    for r, row in enumerate(w):
        for b in range(len(row) // group):
            u = row[group * b:group * (b + 1)] + 1
            block = bytearray()
            first = 0
            for n_bytes, n_digits in ((group // 8, 5), (group // 16, 5), (group // 64, 4)):
                for j in range(n_bytes):
                    v = sum(int(u[first + j + n_bytes * n]) * 3 ** (4 - n) for n in range(n_digits))
                    block.append(ceil_243(v))
                first += n_bytes * n_digits
            out += bytes(block) + f16(scales[r][b])
    return out


def i2_s(w, scale, run):
    flat = w.reshape(-1) + 1
    out = bytearray(flat.size // 4)
    for i, u in enumerate(flat):
        g, j = i % run // (run // 4), i % (run // 4)
        put(out, i // run * (run // 4) + j, 6 - 2 * g, u)
    return bytes(out) + f32(scale) + bytes(28)


def i2_s_1x4(w, scale):
    rows, cols = w.shape
    out = bytearray(rows * cols // 4)
    for r in range(rows):
        for c in range(cols):
            put(out, r // 4 * cols + c, 6 - 2 * (r % 4), w[r, c] + 1)
    return bytes(out) + f32(scale) + bytes(28)


def q2_0(w, scales, group):
    out = b""
    for r, row in enumerate(w):
        for b in range(len(row) // group):
            block = bytearray(group // 4)
            for j in range(group):
                put(block, j // 4, 2 * (j % 4), row[group * b + j] + 1)
            out += f16(scales[r][b]) + bytes(block)
    return out


def iq2_bn(w, scales):
    out = b""
    for r, row in enumerate(w):
        codes = bytearray(len(row) // 4)
        for c, d in enumerate(row):
            i = c % 64
            put(codes, c // 64 * 16 + i % 16, 2 * (i // 16), d + 1)
        out += f32(scales[r]) + bytes(codes)
    return out


def iq2_bn_r4(w, scales):
    out = b""
    for r4 in range(0, len(w), 4):
        out += b"".join(f32(s) for s in scales[r4:r4 + 4])
        codes = bytearray(w.shape[1])
        for r in range(4):
            for c in range(w.shape[1]):
                i = c % 64
                g, s, l = i // 16, i % 16 // 4, i % 4
                put(codes, c // 64 * 64 + 16 * g + 4 * r + l, 2 * s, w[r4 + r, c] + 1)
        out += bytes(codes)
    return out


def iq1_bn(w, scales):
    out = b""
    for r, row in enumerate(w):
        out += f16(scales[r])
        for b in range(len(row) // 64):
            u = row[64 * b:64 * b + 64] + 1
            block = bytearray()
            for i in range(4):
                for k in range(3):
                    v = sum(int(u[16 * i + 5 * k + j]) * 3 ** j for j in range(5))
                    block.append(ceil_243(v))
            block.append(ceil_243(sum(int(u[16 * i + 15]) * 3 ** i for i in range(4))))
            out += bytes(block)
    return out


def hf_packed(w):
    rows, cols = w.shape
    quarter = -(-rows // 4)
    out = bytearray(quarter * cols)
    for r in range(rows):
        for c in range(cols):
            put(out, r % quarter * cols + c, 2 * (r // quarter), w[r, c] + 1)
    return bytes(out)


def q8_0(x):
    out = b""
    for b in x.reshape(-1, 32):
        d = np.abs(b).max() / np.float32(127)
        inverse = np.float32(1) / d if d else np.float32(0)
        scaled = b * inverse
        q = np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))
        out += f16(d) + q.astype(np.int8).tobytes()
    return out


def q4_0(x):
    out = b""
    for b in x.reshape(-1, 32):
        d = b[np.abs(b).argmax()] / np.float32(-8)
        inverse = np.float32(1) / d if d else np.float32(0)
        q = np.minimum(15, (b * inverse + np.float32(8.5)).astype(np.int64))
        out += f16(d) + bytes(int(q[j]) | int(q[j + 16]) << 4 for j in range(16))
    return out


lines = [
    "// Made by tests/reference/make_codec_goldens.py: bytes of every storage type and what they mean.",
    "#pragma once", "", "#include <string_view>", "", "namespace tern::quant::golden {", "",
    "// Bytes are hexadecimal; digits are '-', '0' and '+', row after row; floats are their bytes.",
]


def emit(name, text):
    lines.append(f"inline constexpr std::string_view {name} =")
    for i in range(0, max(len(text), 1), 90):
        lines.append(f'    "{text[i:i + 90]}"')
    lines[-1] += ";"


def emit_case(name, w, data, scales):
    emit(f"k{name}Digits", "".join("-0+"[d + 1] for d in w.reshape(-1)))
    emit(f"k{name}Scales", np.asarray(scales, np.float32).tobytes().hex())
    emit(f"k{name}Bytes", data.hex())


def half_scales(*shape):
    return rng.uniform(0.01, 2, shape).astype(np.float16).astype(np.float32)


w = digits(2, 512)
w[1, 256:] = 0
s = half_scales(2, 2)
emit_case("TQ1_0", w, tq1_0(w, s), s)
emit_case("TQ2_0", w, tq2_0(w, s), s)
emit_case("Q2_0G64", w[:, :256], q2_0(w[:, :256], np.tile(s, 2), 64), np.tile(s, 2))
emit_case("Q2_0G128", w, q2_0(w, np.tile(s, 2), 128), np.tile(s, 2))
w = digits(4, 256)
emit_case("I2S", w, i2_s(w, 0.7, 128), 0.7)
emit_case("I2SArm", w[:, :64], i2_s(w[:, :64], 1.1, 64), 1.1)
w8 = digits(8, 20)
emit_case("I2S1x4", w8, i2_s_1x4(w8, 0.3), 0.3)
s = rng.uniform(0.1, 2, 4).astype(np.float32)
emit_case("IQ2_BN", w[:, :128], iq2_bn(w[:, :128], s), s)
w8 = digits(8, 128)
s8 = rng.uniform(0.1, 2, 8).astype(np.float32)
emit_case("IQ2_BN_R4", w8, iq2_bn_r4(w8, s8), s8)
s = half_scales(4)
emit_case("IQ1_BN", w[:, :128], iq1_bn(w[:, :128], s), s)
w = digits(10, 12)  # ceil(10 / 4) = 3 rows of bytes: the last block has one row too few twice.
emit_case("HfPacked", w, hf_packed(w), 1.0)

x = rng.normal(0, 0.3, 96).astype(np.float32)
x[64:] = 0
emit("kRowFloats", x.tobytes().hex())
emit("kRowQ8_0", q8_0(x).hex())
emit("kRowQ4_0", q4_0(x).hex())

# absmean: mean |W| = 0.75 exactly, so that 0.375 / 0.75 is a tie (to even: 0) where it is computed
# as w * (1 / s), and its neighbours are not.
m = np.array([[0.375, -0.375, np.nextafter(np.float32(0.375), np.float32(1)), 1.0, -2.0, 0.0],
              [0.25, -0.5, 1.5, 0.6, -0.7, 0.0]], np.float32)
m[1, 5] = np.float32(0.75 * 12 - np.abs(m.astype(np.float64)).sum())
mean = np.float32(np.abs(m.astype(np.float64)).sum() / m.size)
inverse = np.float32(1) / mean
q = np.clip(np.rint((m * inverse).astype(np.float32)), -1, 1).astype(int)
emit("kAbsmeanFloats", m.tobytes().hex())
emit("kAbsmeanScale", np.float32(mean).tobytes().hex())
emit("kAbsmeanDigits", "".join("-0+"[d + 1] for d in q.reshape(-1)))
m = rng.normal(0, 0.02, (8, 48)).astype(np.float32)
sums = np.float64(0)
for row in m:
    t = np.float64(0)
    for v in row:
        t += np.abs(np.float64(v))
    sums += t
mean = np.float32(sums / m.size)
inverse = np.float32(1) / mean
q = np.clip(np.rint((m * inverse).astype(np.float32)), -1, 1).astype(int)
emit("kLatentFloats", m.tobytes().hex())
emit("kLatentScale", mean.tobytes().hex())
emit("kLatentDigits", "".join("-0+"[d + 1] for d in q.reshape(-1)))

w = digits(2, 256)
s = half_scales(2, 2)
emit_case("PTQ1_0", w, tq1_0(w, s, 128), s)

# Latent weights with a mean far from 0, so that b1's digits are not their signs; one weight equals its
# row's mean exactly, one group is all zeros (its scale is the clamp), and the last group is half a group.
m = rng.normal(0.01, 0.02, (3, 160)).astype(np.float32)
m[1, :64] = np.tile(np.array([0.5, -0.25, 0.125, 0.125], np.float32), 16)
m[2, 64:128] = 0
emit("kGroupFloats", m.tobytes().hex())


def latent_case(name, m, width):
    scales, ternary, binary = [], np.zeros(m.shape, int), np.zeros(m.shape, int)
    for r in range(0, len(m), len(m) if width is None else 1):
        rows = slice(None) if width is None else slice(r, r + 1)
        for c in range(0, m.shape[1], width or m.shape[1]):
            columns = slice(c, c + (width or m.shape[1]))
            part = m[rows, columns]
            s = max(np.float32(np.abs(part.astype(np.float64)).mean()), np.float32(1e-5))
            centre = np.float32(part.astype(np.float64).mean())
            ternary[rows, columns] = np.clip(np.rint(part * (np.float32(1) / s)), -1, 1)
            binary[rows, columns] = np.sign(part - centre)
            scales.append(s)
    emit(f"k{name}LatentScales", np.array(scales, np.float32).tobytes().hex())
    for kind, q in (("Ternary", ternary), ("Binary", binary)):
        emit(f"k{name}{kind}Digits", "".join("-0+"[d + 1] for d in q.reshape(-1)))


latent_case("Tensor", m, None)
latent_case("Row", m, m.shape[1])
latent_case("Group", m, 64)
assert np.float32(m[1, :64].astype(np.float64).mean()) == m[1, 2]

lines += ["", "}  // namespace tern::quant::golden", ""]
with open(OUT, "w") as file:
    file.write("\n".join(lines))
