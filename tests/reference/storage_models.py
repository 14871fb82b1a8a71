"""Tiny GGUF models in every storage that tern reads, written from the formats' descriptions, with their float64 models.

A `Spec` says what a file is made of; `build(spec)` gives the Gguf to write and the reference_model.Model that it
stands for. Values are chosen first and encoded after, so that no decoder takes part.
"""

import copy
import struct
from dataclasses import dataclass, field

import numpy as np

import codecs_reference as codecs
import reference_model as ref

# --- the container -------------------------------------------------------------------------------------

U32, I32, F32_KEY, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
SCALAR = {U32: "<I", I32: "<i", F32_KEY: "<f", BOOL: "<?", U64: "<Q"}
ALIGNMENT = 32


@dataclass
class Tensor:
    name: str
    dims: list  # contiguous first, as the file has them
    type_id: int
    data: bytes
    offset: int = None  # None: the next aligned place


class Gguf:
    """Keys as name -> (kind, value), an array's value being (kind, values). What a fault needs can be set wrong."""

    def __init__(self, keys, tensors):
        self.keys, self.tensors = dict(keys), list(tensors)
        self.magic, self.version = b"GGUF", 3
        self.tensor_count = self.key_count = None  # None: the truth
        self.lengths = {}  # strings (names and values) and arrays (by key) -> the length to state
        self.big_endian = False

    def tensor(self, name):
        return next(t for t in self.tensors if t.name == name)

    def drop(self, name):
        self.tensors.remove(self.tensor(name))

    def write(self, path):
        """Writes the file; returns where each field of the header ends."""
        out, ends = bytearray(), []

        def put(fmt, value):
            out.extend(struct.pack(fmt.replace("<", ">") if self.big_endian else fmt, value))
            ends.append(len(out))

        def string(text):
            put("<Q", self.lengths.get(text, len(text.encode())))
            out.extend(text.encode())
            ends.append(len(out))

        def value(kind, x, key=None):
            if kind == STRING:
                string(x)
            elif kind == ARRAY:
                put("<I", x[0])
                put("<Q", self.lengths.get("array " + key, len(x[1])))
                for element in x[1]:
                    value(x[0], element)
            else:
                put(SCALAR[kind], x)

        out.extend(self.magic)
        ends.append(len(out))
        put("<I", self.version)
        put("<Q", len(self.tensors) if self.tensor_count is None else self.tensor_count)
        put("<Q", len(self.keys) if self.key_count is None else self.key_count)
        for key, (kind, x) in self.keys.items():
            string(key)
            put("<I", kind)
            value(kind, x, key)
        offset, data = 0, bytearray()
        for t in self.tensors:
            string(t.name)
            put("<I", len(t.dims))
            for d in t.dims:
                put("<Q", d)
            put("<I", t.type_id)
            put("<Q", offset if t.offset is None else t.offset)
            data.extend(t.data + bytes(-len(t.data) % ALIGNMENT))
            offset = len(data)
        out.extend(bytes(-len(out) % ALIGNMENT))
        with open(path, "wb") as f:
            f.write(out + data)
        return ends


# --- ternary storages: digits (rows x columns) and scales (rows x groups) -> bytes -----------------------------


def runs(codes, low_first=True):
    """(..., 4 w) codes -> (..., w) bytes: byte j holds codes j, j + w, j + 2 w, j + 3 w."""
    quarters = codes.astype(np.uint8).reshape(*codes.shape[:-1], 4, -1)
    shifts = (0, 2, 4, 6) if low_first else (6, 4, 2, 0)
    return sum(quarters[..., i, :] << s for i, s in enumerate(shifts)).astype(np.uint8)


def base3(digits, least_first=False):
    """(n, 5) digits of 0..2 -> n bytes ceil(256 v / 243)."""
    places = np.array([1, 3, 9, 27, 81] if least_first else [81, 27, 9, 3, 1])
    v = (digits.astype(np.int64) * places).sum(axis=-1)
    return (-(-256 * v // 243)).astype(np.uint8)


def float_bytes(x, kind):
    x = np.ascontiguousarray(x, dtype=kind)
    return x.view(np.uint8).reshape(*x.shape, x.itemsize)


def encode_tq2_0(digits, scales):
    codes = (digits + 1).reshape(-1, 2, 128)
    packed = runs(codes).reshape(-1, 64)
    return np.hstack([packed, float_bytes(scales.reshape(-1), "<f2")]).tobytes()


def encode_tq1_0(digits, scales):
    codes = (digits + 1).reshape(-1, 256)
    parts = []
    for first, width, count in ((0, 32, 5), (160, 16, 5), (240, 4, 4)):
        piece = codes[:, first : first + width * count].reshape(-1, count, width).swapaxes(1, 2)
        parts.append(base3(np.pad(piece, ((0, 0), (0, 0), (0, 5 - count)))))
    return np.hstack([*parts, float_bytes(scales.reshape(-1), "<f2")]).tobytes()


def q2_0(group):
    def encode(digits, scales):
        fours = (digits + 1).astype(np.uint8).reshape(-1, group // 4, 4)
        packed = fours[..., 0] | fours[..., 1] << 2 | fours[..., 2] << 4 | fours[..., 3] << 6
        return np.hstack([float_bytes(scales.reshape(-1), "<f2"), packed]).tobytes()

    return encode


def encode_iq2_bn(digits, scales):
    rows, cols = digits.shape
    packed = runs((digits + 1).reshape(rows, cols // 64, 64)).reshape(rows, -1)
    return np.hstack([float_bytes(scales[:, 0], "<f4"), packed]).tobytes()


def encode_iq2_bn_r4(digits, scales):
    rows, cols = digits.shape
    # Byte 16 g + 4 r + l of a block of 64 columns: columns 16 g + 4 s + l of row r, s in its bits.
    codes = (digits + 1).astype(np.uint8).reshape(rows // 4, 4, cols // 64, 4, 4, 4)  # quad, r, block, g, s, l
    packed = sum(codes[:, :, :, :, s, :] << 2 * s for s in range(4)).astype(np.uint8)  # quad, r, block, g, l
    packed = packed.transpose(0, 2, 3, 1, 4).reshape(rows // 4, cols)  # quad, (block, g, r, l)
    heads = float_bytes(scales[:, 0], "<f4").reshape(rows // 4, 16)
    return np.hstack([heads, packed]).tobytes()


def encode_iq1_bn(digits, scales):
    rows, cols = digits.shape
    codes = (digits + 1).reshape(rows, cols // 64, 4, 16)
    fives = base3(codes[..., :15].reshape(rows, cols // 64, 12, 5), least_first=True)  # byte 3 i + k
    last = base3(np.pad(codes[..., 15], ((0, 0), (0, 0), (0, 1))), least_first=True)
    packed = np.concatenate([fives, last[..., None]], axis=-1).reshape(rows, -1)
    return np.hstack([float_bytes(scales[:, 0], "<f2"), packed]).tobytes()


def i2_s(run):
    """run: 128 (x86), 64 (ARM), or 0 for the layout of four rows a byte."""

    def encode(digits, scales):
        codes = digits + 1
        if run:
            packed = runs(codes.reshape(-1, run), low_first=False)
        else:
            quads = codes.astype(np.uint8).reshape(len(codes) // 4, 4, -1)
            packed = quads[:, 0] << 6 | quads[:, 1] << 4 | quads[:, 2] << 2 | quads[:, 3]
        return packed.tobytes() + struct.pack("<f", scales[0, 0]) + bytes(28)

    return encode


def encode_floats(kind):
    def encode(digits, scales):
        return (digits * np.asarray(scales, np.float32)).astype(kind).tobytes()

    return encode


@dataclass
class Storage:
    type_id: int
    encode: object
    group: int  # columns of a scale; 0: one a row, -1: one a tensor
    scale_type: type  # what the scale is rounded to


STORAGES = {
    "TQ2_0": Storage(35, encode_tq2_0, 256, np.float16),
    "TQ1_0": Storage(34, encode_tq1_0, 256, np.float16),
    "Q2_0/64": Storage(42, q2_0(64), 64, np.float16),
    "Q2_0/128": Storage(42, q2_0(128), 128, np.float16),
    "IQ1_BN": Storage(134, encode_iq1_bn, 0, np.float16),
    "IQ2_BN": Storage(135, encode_iq2_bn, 0, np.float32),
    "IQ2_BN_R4": Storage(335, encode_iq2_bn_r4, 0, np.float32),
    "I2_S/x86": Storage(36, i2_s(128), -1, np.float32),
    "I2_S/arm": Storage(36, i2_s(64), -1, np.float32),
    "I2_S/1x4": Storage(36, i2_s(0), -1, np.float32),
    "F16": Storage(1, encode_floats(np.float16), -1, np.float16),
    "F32": Storage(0, encode_floats(np.float32), -1, np.float32),
}


# --- float blocks: random bytes of a type, and the values they stand for ------------------------------------------


def random_q8_0(rng, shape, deviation):
    d = rng.uniform(0.5, 1.5, (shape[0] * shape[1] // 32, 1)).astype(np.float16) * np.float16(deviation / 60)
    q = rng.integers(-127, 128, (len(d), 32)).astype(np.int8)
    return np.hstack([float_bytes(d[:, 0], "<f2"), q.view(np.uint8)]).tobytes(), d.astype(np.float64) * q


def random_q4_0(rng, shape, deviation):
    d = rng.uniform(0.5, 1.5, (shape[0] * shape[1] // 32, 1)).astype(np.float16) * np.float16(deviation / 4)
    n = rng.integers(0, 16, (len(d), 32)).astype(np.uint8)
    packed = n[:, :16] | n[:, 16:] << 4
    return np.hstack([float_bytes(d[:, 0], "<f2"), packed]).tobytes(), d.astype(np.float64) * (n.astype(np.int8) - 8)


def random_q6_k(rng, shape, deviation):
    count = shape[0] * shape[1] // 256
    d = rng.uniform(0.5, 1.5, (count, 1)).astype(np.float16) * np.float16(deviation / 1000)
    scales = rng.integers(-100, 101, (count, 16)).astype(np.int8)
    q = rng.integers(0, 64, (count, 256))
    low, high = np.zeros((count, 128), np.uint8), np.zeros((count, 64), np.uint8)
    for w in range(256):  # half h, weight 32 k + l of it
        h, k, l = w // 128, w % 128 // 32, w % 32
        low[:, 64 * h + 32 * (k & 1) + l] |= (q[:, w] & 15).astype(np.uint8) << 4 * (k >> 1)
        high[:, 32 * h + l] |= (q[:, w] >> 4).astype(np.uint8) << 2 * k
    values = d.astype(np.float64) * np.repeat(scales.astype(np.float64), 16, axis=1) * (q - 32)
    return np.hstack([low, high, scales.view(np.uint8), float_bytes(d[:, 0], "<f2")]).tobytes(), values


def random_plain(kind):
    def make(rng, shape, deviation):
        x = rng.normal(0, deviation, shape).astype(np.float32)
        if kind == "bf16":
            bits = ref.f32_to_bf16(x)
            return bits.tobytes(), ref.bf16_to_f32(bits).astype(np.float64)
        x = x.astype(kind)
        return x.tobytes(), x.astype(np.float64)

    return make


FLOATS = {
    "Q8_0": (8, random_q8_0),
    "Q4_0": (2, random_q4_0),
    "Q6_K": (14, random_q6_k),
    "dense F16": (1, random_plain(np.float16)),
    "dense F32": (0, random_plain(np.float32)),
    "dense BF16": (30, random_plain("bf16")),
}


# --- a model -----------------------------------------------------------------------------------------------


@dataclass
class Spec:
    """What one file is made of. `scales`: tensor, row, group, zeros (one, but 0 on blocks of zeros), or odd
    (groups, some of them negative or 0)."""

    architecture: str  # as the file spells it
    storage: object  # of the projections: a name, or a dict by projection with "" for the others
    scales: object = "tensor"  # likewise
    embedding: str = "dense F16"
    head: str = None  # None: tied; "copy": the embedding stored twice
    hidden: int = 256
    ffn: int = 512
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    layers: int = 2
    vocab: int = 320
    theta: float = 10000.0
    biases: tuple = ()
    scale_tensors: bool = False
    rope_factors: bool = False
    version: int = 3
    arguments: tuple = ()  # of tern
    rule: str = "int8 per token"  # as `inspect` says it

    def of(self, choice, name):
        return choice.get(name, choice[""]) if isinstance(choice, dict) else choice


DECLARED = ("bitnet", "bitnet-b1.58", "bitnet-25")  # Architectures that declare b1.58: int8 over the whole row.


def choose_scales(rng, style, storage, shape, digits):
    """(scales as stored, rows x groups; the Linear's scale). May clear blocks of `digits`."""
    rows, cols = shape
    one = 0.06 * rng.uniform(0.8, 1.2)
    if storage.group == -1 or style == "tensor":
        stored = np.full((rows, cols // (storage.group if storage.group > 0 else cols)), one, storage.scale_type)
        return stored, np.float32(stored[0, 0])
    if storage.group == 0:
        stored = (one * rng.uniform(0.3, 2.0, (rows, 1))).astype(storage.scale_type)
        return stored, stored.astype(np.float32)
    shape = (rows, cols // storage.group)
    if style == "zeros":
        empty = rng.random(shape) < 0.3
        digits[np.repeat(empty, storage.group, axis=1)] = 0
        stored = np.where(empty, 0, one).astype(storage.scale_type)
        return stored, np.float32(storage.scale_type(one))
    stored = (one * rng.uniform(0.3, 2.0, shape)).astype(storage.scale_type)
    if style == "odd":
        chance = rng.random(shape)
        stored[chance < 0.1], stored[chance > 0.8] = 0, -stored[chance > 0.8]
    return stored, stored.astype(np.float32)


def interleaved(x, heads):
    """Rows i and i + head_dim / 2 of a head become rows 2 i and 2 i + 1."""
    return x.reshape(heads, 2, len(x) // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


class Builder:
    def __init__(self, spec, seed):
        self.spec, self.rng, self.tensors = spec, np.random.default_rng(seed), []
        self.declared = spec.architecture in DECLARED

    def add(self, name, array_shape, type_id, data):
        self.tensors.append(Tensor(name, list(reversed(array_shape)), type_id, data))

    def vector(self, name, values):
        values = values.astype(np.float32)
        self.add(name, values.shape, 0, values.tobytes())
        return values.astype(np.float64)

    def norm(self, name, size):
        return self.vector(name, 1 + 0.2 * self.rng.normal(size=size))

    def ternary(self, name, shape, storage, style, heads, factor=None):
        """Writes a ternary matrix; `heads` is not 0 where the file has q or k rows in another order. The Linear."""
        digits = self.rng.integers(-1, 2, shape).astype(np.int8)
        stored, scale = choose_scales(self.rng, style, storage, shape, digits)
        if factor is not None:  # A .scale tensor: the blocks have scale 1.
            stored, scale = np.ones_like(stored), np.float32(factor)
        rows = (lambda x: interleaved(x, heads)) if heads else (lambda x: x)
        self.add(name, shape, storage.type_id, storage.encode(rows(digits), rows(stored)))
        grouped = storage.group > 0 and np.ndim(scale) == 2
        return ref.Linear(digits=digits.astype(np.float64), scale=scale, group=storage.group if grouped and not self.declared else 0)

    def projection(self, layer, name, shape):
        s, at = self.spec, f"blk.{layer}.{codecs.GGUF_PROJECTIONS[name]}"
        heads = {"q": s.heads, "k": s.kv_heads}.get(name, 0) if s.architecture == "llama" else 0
        storage = s.of(s.storage, name)
        if storage in FLOATS:
            type_id, make = FLOATS[storage]
            data, values = make(self.rng, shape, 0.05)
            assert not heads, "rows of block types are not permuted here"
            self.add(at + ".weight", shape, type_id, data)
            linear = ref.Linear(weight=values.reshape(shape))
        else:
            factor = np.float32(0.06 * self.rng.uniform(0.8, 1.2)) if s.scale_tensors else None
            linear = self.ternary(at + ".weight", shape, STORAGES[storage], s.of(s.scales, name), heads, factor)
            if factor is not None:
                self.vector(at + ".scale", np.array([factor]))
        if name in s.biases:
            linear.bias = self.rng.normal(0, 0.3, shape[0]).astype(np.float32).astype(np.float64)
            self.vector(at + ".bias", interleaved(linear.bias, heads) if heads else linear.bias)
        return linear

    def table(self, name, kind, deviation):
        """The embedding or the head; activations of a ternary head stay floats."""
        shape = (self.spec.vocab, self.spec.hidden)
        if kind in FLOATS:
            type_id, make = FLOATS[kind]
            data, values = make(self.rng, shape, deviation)
            self.add(name, shape, type_id, data)
            return values.reshape(shape)
        linear = self.ternary(name, shape, STORAGES[kind], "group", 0)
        scales = np.broadcast_to(np.atleast_2d(linear.scale), (shape[0], np.atleast_2d(linear.scale).shape[1]))
        return linear.digits * np.repeat(scales.astype(np.float64), shape[1] // scales.shape[1], axis=1)

    def layer(self, i):
        s, at = self.spec, f"blk.{i}."
        q_width, kv_width = s.heads * s.head_dim, s.kv_heads * s.head_dim
        shapes = {"q": (q_width, s.hidden), "k": (kv_width, s.hidden), "v": (kv_width, s.hidden),
                  "o": (s.hidden, q_width), "gate": (s.ffn, s.hidden), "up": (s.ffn, s.hidden),
                  "down": (s.hidden, s.ffn)}  # fmt: skip
        layer = {name: self.projection(i, name, shape) for name, shape in shapes.items()}
        norms = {"attn_norm": s.hidden, "ffn_norm": s.hidden}
        if self.declared:
            norms.update(attn_sub_norm=q_width, ffn_sub_norm=s.ffn)
        layer.update({name: self.norm(f"{at}{name}.weight", size) for name, size in norms.items()})
        if s.architecture == "qwen3":
            layer["q_norm"] = self.norm(at + "attn_q_norm.weight", s.head_dim)
            layer["k_norm"] = self.norm(at + "attn_k_norm.weight", s.head_dim)
        return layer

    def keys(self):
        s, a = self.spec, self.spec.architecture
        numbers = {"context_length": 512, "embedding_length": s.hidden, "block_count": s.layers,
                   "feed_forward_length": s.ffn, "attention.head_count": s.heads,
                   "attention.head_count_kv": s.kv_heads, "attention.key_length": s.head_dim,
                   "attention.value_length": s.head_dim, "rope.dimension_count": s.head_dim,
                   "vocab_size": s.vocab}  # fmt: skip
        keys = {"general.architecture": (STRING, a), "general.name": (STRING, "storage test")}
        keys.update({f"{a}.{name}": (U32, value) for name, value in numbers.items()})
        keys[f"{a}.attention.layer_norm_rms_epsilon"] = (F32_KEY, 1e-5)
        keys[f"{a}.rope.freq_base"] = (F32_KEY, s.theta)
        return keys

    def build(self):
        s = self.spec
        embed = self.table("token_embd.weight", s.embedding, 0.15)
        factors = None
        if s.rope_factors:
            factors = self.vector("rope_freqs.weight", self.rng.uniform(1, 8, s.head_dim // 2))
        layers = [self.layer(i) for i in range(s.layers)]
        output_norm = self.norm("output_norm.weight", s.hidden)
        head = embed
        if s.head == "copy":
            self.tensors.append(copy.deepcopy(self.tensors[0]))
            self.tensors[-1].name = "output.weight"
        elif s.head:
            head = self.table("output.weight", s.head, 0.15)
        config = ref.Config(
            architecture=s.architecture, hidden=s.hidden, ffn=s.ffn, layers=s.layers, heads=s.heads,
            kv_heads=s.kv_heads, head_dim=s.head_dim, vocab=s.vocab, eps=float(np.float32(1e-5)),
            activation=codecs.GATES[s.architecture], rope_theta=s.theta, rope_factors=factors,
            sub_norms=self.declared, qk_norm=s.architecture == "qwen3", tied=s.head in (None, "copy"),
        )  # fmt: skip
        file = Gguf(self.keys(), self.tensors)
        file.version = s.version
        return file, ref.Model(config, embed, layers, output_norm, head)


def build(spec, seed):
    return Builder(spec, seed).build()


MIXED = {"": "Q2_0/128", "k": "TQ2_0", "v": "dense F16", "up": "IQ2_BN"}
WIDE = dict(hidden=512, head_dim=128, layers=1)  # Rows of two blocks of 256; one layer keeps clean inputs likely.
QKVO = ("q", "k", "v", "o")
SPECS = {
    # Group scales where nothing declares b1.58: activations in groups of the weights' size.
    "llama Q2_0 of 64": Spec("llama", "Q2_0/64", "group", rule="int8 per group of 64"),
    "llama Q2_0 of 64, odd scales, GGUF v2": Spec("llama", "Q2_0/64", "odd", version=2, rule="int8 per group of 64"),
    "llama Q2_0 of 128": Spec("llama", "Q2_0/128", "group", kv_heads=4, rule="int8 per group of 128"),
    "qwen3 Q2_0 of 64, head_dim 96": Spec("qwen3", "Q2_0/64", "group", head_dim=96, hidden=384,
                                          rule="int8 per group of 64"),
    "qwen3 Q2_0 of 128, ternary embedding and head": Spec("qwen3", "Q2_0/128", "group", "Q2_0/128", "Q2_0/128",
                                                          head_dim=128, rule="int8 per group of 128"),
    "qwen3 Q2_0 of 64, tied ternary embedding, biases": Spec("qwen3", "Q2_0/64", "group", "Q2_0/64", biases=QKVO,
                                                             rule="int8 per group of 64"),
    "llama TQ1_0 blocks": Spec("llama", "TQ1_0", "group", **WIDE, rule="int8 per group of 256"),
    "qwen3 TQ2_0 blocks": Spec("qwen3", "TQ2_0", "group", **WIDE, rule="int8 per group of 256"),
    "qwen3 TQ2_0 blocks, odd scales": Spec("qwen3", "TQ2_0", "odd", "Q8_0", **WIDE, rule="int8 per group of 256"),
    "qwen3 storages mixed": Spec("qwen3", MIXED, {"": "group", "k": "tensor", "down": "tensor"}, **WIDE,
                                 rule="int8 per group of 128"),
    # One scale a tensor or row: activations over the whole row.
    "llama TQ1_0 with blocks of zeros": Spec("llama", "TQ1_0", "zeros"),
    "qwen3 TQ2_0 with blocks of zeros": Spec("qwen3", "TQ2_0", "zeros", "Q4_0"),
    "llama Q2_0 of 128, one scale": Spec("llama", "Q2_0/128", "tensor", "Q6_K"),
    "llama IQ2_BN by row": Spec("llama", "IQ2_BN", "row", hidden=320, ffn=448),
    "llama IQ1_BN by row, biases": Spec("llama", "IQ1_BN", "row", biases=(*QKVO, "gate", "up", "down"), hidden=320,
                                        ffn=448),
    "qwen3 IQ1_BN, one scale": Spec("qwen3", "IQ1_BN", "tensor"),
    "llama IQ2_BN_R4 by row": Spec("llama", "IQ2_BN_R4", "row", "TQ2_0", "TQ2_0", rope_factors=True),
    "llama F16 of -s, 0, s, rope factors": Spec("llama", "F16", rope_factors=True, head="copy"),
    "qwen3 F32 of -s, 0, s, head too": Spec("qwen3", "F32", head="F16"),
    "llama I2_S arm, biases": Spec("llama", "I2_S/arm", biases=QKVO, hidden=320, ffn=320,
                                   arguments=("--i2s", "arm")),
    # b1.58 by architecture: whole rows, whatever the weights' scales are.
    "bitnet TQ1_0 and .scale": Spec("bitnet", "TQ1_0", scale_tensors=True, embedding="Q6_K"),
    "bitnet F16 digits and .scale": Spec("bitnet", "F16", scale_tensors=True),
    "bitnet TQ2_0 blocks": Spec("bitnet", "TQ2_0", "group", **WIDE),
    "bitnet IQ1_BN by row": Spec("bitnet", "IQ1_BN", "row", "Q8_0"),
    "bitnet-b1.58 I2_S x86, head twice": Spec("bitnet-b1.58", "I2_S/x86", head="copy", embedding="Q8_0"),
    "bitnet-25 I2_S 1x4": Spec("bitnet-25", "I2_S/1x4", arguments=("--i2s", "1x4"), version=2),
    "bitnet-b1.58 IQ2_BN_R4, ternary embedding": Spec("bitnet-b1.58", "IQ2_BN_R4", "row", "TQ2_0", hidden=256),
    "bitnet-b1.58 Q2_0 of 64": Spec("bitnet-b1.58", "Q2_0/64", "group", "dense BF16", head="Q6_K"),
}  # fmt: skip
