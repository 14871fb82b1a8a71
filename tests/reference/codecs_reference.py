"""An independent reader of GGUF files and of the block types in them: slow, plain, and from the format's description.

`load_gguf(path)` gives a reference_model.Model with the values that the file holds, q and k rows back in
rotate-half order.
"""

import struct

import numpy as np

import reference_model as ref

# --- the container -------------------------------------------------------------------------------------

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9

# Type id -> (name, weights of a block, bytes of a block). I2_S and IQ2_BN have a size rule of their own.
BLOCK_TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 8: ("Q8_0", 32, 34), 14: ("Q6_K", 256, 210),
               30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66)}  # fmt: skip
I2_S, IQ2_BN = 36, 135


class Cursor:
    def __init__(self, blob):
        self.blob, self.at = blob, 0

    def scalar(self, fmt):
        value = struct.unpack_from(fmt, self.blob, self.at)[0]
        self.at += struct.calcsize(fmt)
        return value

    def string(self):
        size = self.scalar("<Q")
        self.at += size
        return self.blob[self.at - size : self.at].decode("utf-8", "surrogateescape")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.scalar("<I"), self.scalar("<Q")
            return [self.value(element) for _ in range(count)]
        return self.scalar(SCALARS[kind])


class Gguf:
    """`keys` and, per tensor, (type name, rows x columns as NumPy orders them, its bytes)."""

    def __init__(self, path):
        with open(path, "rb") as f:
            blob = f.read()
        c = Cursor(blob)
        assert blob[:4] == b"GGUF", path
        c.at = 4
        version, tensor_count, key_count = c.scalar("<I"), c.scalar("<Q"), c.scalar("<Q")
        assert version in (2, 3), version
        self.keys = {}
        for _ in range(key_count):
            name = c.string()
            self.keys[name] = c.value(c.scalar("<I"))
        entries = []
        for _ in range(tensor_count):
            name = c.string()
            dims = [c.scalar("<Q") for _ in range(c.scalar("<I"))]
            entries.append((name, dims[::-1], c.scalar("<I"), c.scalar("<Q")))
        alignment = self.keys.get("general.alignment", 32)
        data = -(-c.at // alignment) * alignment
        self.tensors = {}
        taken = []
        for name, shape, type_id, offset in entries:
            type_name, size = tensor_size(type_id, shape)
            assert offset % alignment == 0, f"{name}: offset {offset} is not aligned to {alignment}"
            assert data + offset + size <= len(blob), f"{name}: {size} bytes at {offset} leave the file"
            taken.append((offset, offset + size))
            self.tensors[name] = (type_name, shape, blob[data + offset : data + offset + size])
        taken.sort()
        assert all(a[1] <= b[0] for a, b in zip(taken, taken[1:])), "tensors overlap"


def tensor_size(type_id, shape):
    count, row = int(np.prod(shape)), shape[-1]
    if type_id == I2_S:
        return "I2_S", count // 4 + 32
    if type_id == IQ2_BN:
        return "IQ2_BN", count // row * (4 + row // 4)
    name, weights, size = BLOCK_TYPES[type_id]
    assert row % weights == 0, f"rows of {row} do not fit {name}"
    return name, count // weights * size


# --- ternary blocks: bytes -> (digits, scales that apply) -------------------------------------------------


def decode_tq2_0(data, rows, cols):
    blocks = np.frombuffer(data, np.uint8).reshape(-1, 66)
    digits = np.empty((len(blocks), 256), np.int8)
    for run in range(2):
        for slot in range(4):
            codes = blocks[:, 32 * run : 32 * run + 32] >> (2 * slot) & 3
            digits[:, 128 * run + 32 * slot : 128 * run + 32 * slot + 32] = codes.astype(np.int8) - 1
    return digits.reshape(rows, cols), block_scales(digits, blocks[:, 64:66])


def decode_tq1_0(data, rows, cols):
    blocks = np.frombuffer(data, np.uint8).reshape(-1, 54)
    digits = np.empty((len(blocks), 256), np.int8)
    # (first byte, bytes, first weight, digits a byte holds)
    for first, width, weight, per_byte in ((0, 32, 0, 5), (32, 16, 160, 5), (48, 4, 240, 4)):
        for n in range(per_byte):
            byte = blocks[:, first : first + width].astype(np.int64)
            digit = ((byte * 3**n) % 256) * 3 >> 8
            digits[:, weight + width * n : weight + width * (n + 1)] = digit - 1
    return digits.reshape(rows, cols), block_scales(digits, blocks[:, 52:54])


def block_scales(digits, scale_bytes):
    """The f16 scales of the blocks that are not all zero: one of zeros may hold any."""
    scales = np.ascontiguousarray(scale_bytes).view(np.float16).reshape(-1).astype(np.float32)
    return scales[np.any(digits != 0, axis=1)]


def decode_i2_s(data, rows, cols):
    assert cols % 128 == 0, f"I2_S rows of {cols}"
    runs = np.frombuffer(data, np.uint8)[: rows * cols // 4].reshape(-1, 32)
    digits = np.empty((len(runs), 128), np.int8)
    for group in range(4):
        digits[:, 32 * group : 32 * group + 32] = (runs >> (6 - 2 * group) & 3).astype(np.int8) - 1
    return digits.reshape(rows, cols), np.frombuffer(data, "<f4", 1, rows * cols // 4)


def decode_iq2_bn(data, rows, cols):
    table = np.frombuffer(data, np.uint8).reshape(rows, 4 + cols // 4)
    blocks = table[:, 4:].reshape(rows, cols // 64, 16)
    digits = np.empty((rows, cols // 64, 64), np.int8)
    for slot in range(4):
        digits[:, :, 16 * slot : 16 * slot + 16] = (blocks >> (2 * slot) & 3).astype(np.int8) - 1
    digits = digits.reshape(rows, cols)
    scales = np.ascontiguousarray(table[:, :4]).view("<f4").reshape(-1)
    return digits, scales[np.any(digits != 0, axis=1)]


TERNARY = {"TQ1_0": decode_tq1_0, "TQ2_0": decode_tq2_0, "I2_S": decode_i2_s, "IQ2_BN": decode_iq2_bn}


# --- float blocks ----------------------------------------------------------------------------------------


def decode_q8_0(data):
    blocks = np.frombuffer(data, np.uint8).reshape(-1, 34)
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float64)
    return d * np.ascontiguousarray(blocks[:, 2:]).view(np.int8)


def decode_q6_k(data):
    blocks = np.frombuffer(data, np.uint8).reshape(-1, 210)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float64)
    d = np.ascontiguousarray(blocks[:, 208:210]).view(np.float16).astype(np.float64)
    out = np.empty((len(blocks), 256))
    for half in range(2):
        low, high = blocks[:, 64 * half : 64 * half + 64], blocks[:, 128 + 32 * half : 160 + 32 * half]
        for quarter in range(4):
            nibble = low[:, 32 * (quarter % 2) : 32 * (quarter % 2) + 32] >> (4 * (quarter // 2)) & 15
            value = (nibble | (high >> (2 * quarter) & 3) << 4).astype(np.int64) - 32
            for part in range(2):
                at = 128 * half + 32 * quarter + 16 * part
                group = 8 * half + 2 * quarter + part
                out[:, at : at + 16] = d * scales[:, group : group + 1] * value[:, 16 * part : 16 * part + 16]
    return out


def decode_float(type_name, shape, data):
    if type_name == "Q8_0":
        values = decode_q8_0(data)
    elif type_name == "Q6_K":
        values = decode_q6_k(data)
    elif type_name == "BF16":
        values = ref.bf16_to_f32(np.frombuffer(data, "<u2"))
    else:
        values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[type_name])
    return values.astype(np.float64).reshape(shape)


# --- a model -----------------------------------------------------------------------------------------------

GGUF_PROJECTIONS = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate",
                    "up": "ffn_up", "down": "ffn_down"}  # fmt: skip
NORMS = ("attn_norm", "ffn_norm")
# No key of a GGUF says the gate's activation: the architecture does.
GATES = {"bitnet-b1.58": "relu2", "bitnet-25": "relu2", "bitnet": "silu", "llama": "silu", "qwen3": "silu"}


def rotate_half_rows(x, heads):
    """From GGUF llama's interleaved pairs (2i, 2i+1) to pairs (i, i + head_dim / 2)."""
    return x.reshape(heads, len(x) // heads // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def linear_from_gguf(gguf, name):
    type_name, shape, data = gguf.tensors[name + ".weight"]
    bias = gguf.tensors.get(name + ".bias")
    bias = None if bias is None else decode_float(*bias)
    if type_name in TERNARY:
        digits, scales = TERNARY[type_name](data, *shape)
        assert digits.max() <= 1, f"{name}: a code is 3"
        assert len(set(scales.tolist())) == 1, f"{name}: {len(set(scales.tolist()))} different scales"
        scale = scales[0]
    else:
        weight = decode_float(type_name, shape, data)
        exact = ref.exact_ternary(weight)
        if exact is None:
            return ref.Linear(weight=weight, bias=bias)
        digits, scale = exact
    if name + ".scale" in gguf.tensors:
        assert scale == 1, f"{name}: block scale {scale} beside a .scale tensor"
        scale = np.float32(decode_float(*gguf.tensors[name + ".scale"]).reshape(-1)[0])
    return ref.Linear(digits=digits, scale=np.float32(scale), bias=bias)


def config_from_keys(gguf):
    architecture = gguf.keys["general.architecture"]
    get = lambda key, default=None: gguf.keys.get(f"{architecture}.{key}", default)
    embedding_shape = gguf.tensors["token_embd.weight"][1]
    heads = get("attention.head_count")
    return ref.Config(
        architecture=architecture, hidden=get("embedding_length"), ffn=get("feed_forward_length"),
        layers=get("block_count"), heads=heads, kv_heads=get("attention.head_count_kv", heads),
        head_dim=get("attention.key_length", get("embedding_length") // heads), vocab=embedding_shape[0],
        eps=get("attention.layer_norm_rms_epsilon"), activation=GATES[architecture],
        rope_theta=get("rope.freq_base", 10000.0),
        rope_factors=decode_float(*gguf.tensors["rope_freqs.weight"]) if "rope_freqs.weight" in gguf.tensors else None,
        sub_norms=architecture.startswith("bitnet"), qk_norm=architecture == "qwen3",
        tied="output.weight" not in gguf.tensors,
    )  # fmt: skip


def load_gguf(path):
    gguf = Gguf(path)
    config = config_from_keys(gguf)
    norms = NORMS + (("attn_sub_norm", "ffn_sub_norm") if config.sub_norms else ())
    layers = []
    for i in range(config.layers):
        at = f"blk.{i}."
        layer = {n: linear_from_gguf(gguf, at + name) for n, name in GGUF_PROJECTIONS.items()}
        layer.update({n: decode_float(*gguf.tensors[f"{at}{n}.weight"]) for n in norms})
        if config.qk_norm:
            layer["q_norm"] = decode_float(*gguf.tensors[at + "attn_q_norm.weight"])
            layer["k_norm"] = decode_float(*gguf.tensors[at + "attn_k_norm.weight"])
        if config.architecture == "llama":
            for name, heads in (("q", config.heads), ("k", config.kv_heads)):
                linear = layer[name]
                for part in ("weight", "digits", "bias"):
                    if getattr(linear, part) is not None:
                        setattr(linear, part, rotate_half_rows(getattr(linear, part), heads))
        layers.append(layer)
    embed = decode_float(*gguf.tensors["token_embd.weight"])
    head = embed if config.tied else decode_float(*gguf.tensors["output.weight"])
    return ref.Model(config, embed, layers, decode_float(*gguf.tensors["output_norm.weight"]), head)
