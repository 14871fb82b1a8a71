"""A small NumPy model in float64, written from the papers' formulas: what tern's numbers are compared with.

Nothing here is fast and nothing is shared with the C++ program. A Model is a Config, named float64 arrays
and Linear layers; `Model.forward(tokens)` returns every operation's output under the names of docs/trace.md.
"""

import json
import os
from dataclasses import dataclass

import numpy as np

# The smallest distance of any activation to an int8 rounding boundary (in int8 steps) that makes an
# input clean. float32 NumPy was measured to differ from float64 by at most about 1e-4 steps on models of
# this size (`check_numbers.py --self-test` measures it again), so that on a clean input a right engine
# takes every int8 value as float64 does, and its log-probabilities differ by float32 noise only.
CLEAN_MARGIN = 2.5e-4

PROJECTIONS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


# --- files ---------------------------------------------------------------------------------------------


def bf16_to_f32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def f32_to_bf16(x):
    """Bits of the nearest bfloat16, ties to even."""
    u = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


SAFETENSORS_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16,
    "U8": np.uint8, "I8": np.int8, "I32": np.int32, "I64": np.int64,
}  # fmt: skip


def read_safetensors(path):
    """Name -> array; BF16 becomes float32 (exactly), everything else keeps its type."""
    with open(path, "rb") as f:
        blob = f.read()
    header_size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + header_size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data = np.frombuffer(blob[8 + header_size + begin : 8 + header_size + end],
                             dtype=SAFETENSORS_DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            data = bf16_to_f32(data)
        tensors[name] = data.reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    """`tensors` is name -> (dtype name, array); BF16 arrays are uint16 bits."""
    header, offset, blobs = {}, 0, []
    for name, (dtype, array) in tensors.items():
        array = np.ascontiguousarray(array, dtype=SAFETENSORS_DTYPES[dtype])
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        blobs.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_folder_tensors(folder):
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return read_safetensors(os.path.join(folder, "model.safetensors"))
    with open(index) as f:
        shards = sorted(set(json.load(f)["weight_map"].values()))
    tensors = {}
    for shard in shards:
        tensors.update(read_safetensors(os.path.join(folder, shard)))
    return tensors


# --- quantisation --------------------------------------------------------------------------------------


def quantise_weight(w):
    """Absmean in float32: (digits int8, scale), W ~= digits * scale.

    The mean itself is taken in float64 so that no order of summation matters.
    """
    w = np.asarray(w, dtype=np.float32)
    mean = np.float32(np.abs(w.astype(np.float64)).mean())
    inverse = np.float32(1) / np.maximum(mean, np.float32(1e-5))
    digits = np.clip(np.rint(w * inverse), -1, 1).astype(np.int8)
    return digits, np.maximum(mean, np.float32(1e-5))


def latent_parts(shape, scale, group_size):
    """The slices that a mean is taken over, row-major: the tensor, each row, or each group of columns."""
    rows, cols = shape
    if scale == "tensor":
        return [(slice(0, rows), slice(0, cols))]
    width = cols if scale == "row" else group_size
    return [(slice(r, r + 1), slice(c, min(c + width, cols))) for r in range(rows) for c in range(0, cols, width)]


def quantise_latent(w, weights, scale, group_size=None):
    """(digits int8, scales): what quantization_config's quant_method "tern" declares, in float32.

    b1.58 is quantise_weight of each part. b1: s = mean|W|, digit = sign(W - mean(W)). Scales are one number, or
    rows x groups.
    """
    w = np.asarray(w, dtype=np.float32)
    digits, scales = np.zeros(w.shape, np.int8), []
    for part in latent_parts(w.shape, scale, group_size):
        if weights == "b1.58":
            digits[part], s = quantise_weight(w[part])
        else:
            assert weights == "b1", weights
            wide = w[part].astype(np.float64)
            s = np.maximum(np.float32(np.abs(wide).mean()), np.float32(1e-5))
            digits[part] = np.sign(w[part] - np.float32(wide.mean())).astype(np.int8)
        scales.append(s)
    return digits, scales[0] if scale == "tensor" else np.array(scales, np.float32).reshape(len(w), -1)


def exact_ternary(w):
    """(digits, scale) of a float matrix that holds only {-s, 0, +s}, else None."""
    magnitude = np.abs(w)
    s = magnitude.max()
    if s == 0 or not np.all((magnitude == 0) | (magnitude == s)):
        return None
    return np.sign(w).astype(np.int8), np.float32(s)


def unpack_uint8(packed):
    """Four blocks of rows, packed along the outputs: byte[r] holds rows r, r+R, r+2R, r+3R, value + 1."""
    digits = np.concatenate([(packed >> shift) & 3 for shift in (0, 2, 4, 6)], axis=0).astype(np.int8) - 1
    assert digits.max() <= 1, "a packed code is 3"
    return digits


def pack_uint8(digits):
    blocks = (digits + 1).astype(np.uint8).reshape(4, -1, digits.shape[1])
    return blocks[0] | blocks[1] << 2 | blocks[2] << 4 | blocks[3] << 6


def scale_activation(x, group=0):
    """(x in int8 steps before rounding, rows x columns; step, rows x groups). A group of 0 is the whole row."""
    groups = x.reshape(len(x), -1, group or x.shape[-1])
    s = x.dtype.type(127) / np.maximum(np.abs(groups).max(axis=-1, keepdims=True), x.dtype.type(1e-5))
    return (groups * s).reshape(x.shape), 1 / s[..., 0]


def quantise_activation(x, group=0):
    """Absmax int8 per group: (q as floats, step, smallest distance of each row to a rounding boundary).

    x ~= q * step. The boundaries are k + 0.5 in int8 steps.
    """
    scaled, step = scale_activation(x, group)
    q = np.clip(np.rint(scaled), -128, 127)
    margin = np.abs(scaled - np.floor(scaled) - 0.5).min(axis=-1)
    return q, step, margin


# --- the model -----------------------------------------------------------------------------------------


@dataclass
class Config:
    architecture: str  # bitnet-b1.58, bitnet, llama or qwen3
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    eps: float
    activation: str  # relu2 or silu
    rope_theta: float
    rope_scaling: dict = None  # config.json's, llama3 only
    rope_factors: np.ndarray = None  # GGUF's rope_freqs.weight
    sub_norms: bool = False
    qk_norm: bool = False
    tied: bool = True


@dataclass
class Linear:
    """Either dense (float64 weight) or ternary: int8 digits and one scale, as the float32 that stands for it.

    Scales of rows or of groups of columns are an array, rows x groups. `group` is how many columns share an
    activation scale, 0 where a whole row does.
    """

    weight: np.ndarray = None
    digits: np.ndarray = None
    scale: np.float32 = None
    bias: np.ndarray = None
    group: int = 0

    @property
    def ternary(self):
        return self.digits is not None

    def ternary_product(self, q8, step):
        """Of int8 activations (rows x columns, as floats) with their steps (rows x groups); without the bias."""
        dtype = q8.dtype.type
        scales = np.atleast_2d(np.asarray(self.scale, dtype=dtype))
        parts = max(scales.shape[1], step.shape[1])
        width, y = q8.shape[1] // parts, 0
        for g in range(parts):
            columns = slice(g * width, (g + 1) * width)
            sums = q8[:, columns] @ self.digits[:, columns].T.astype(dtype, copy=False)
            y = y + sums * (scales[:, g % scales.shape[1]] * step[:, [g % step.shape[1]]])
        return y


def relu2(x):
    return np.square(np.maximum(x, 0))


def silu(x):
    e = np.exp(-np.abs(x))  # never overflows
    return x * np.where(x >= 0, 1, e) / (1 + e)


ACTIVATIONS = {"relu2": relu2, "silu": silu}


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + x.dtype.type(eps)) * weight


def inverse_frequencies(config):
    half = config.head_dim // 2
    inv = 1.0 / config.rope_theta ** (np.arange(half, dtype=np.float64) * 2 / config.head_dim)
    if config.rope_factors is not None:
        return inv / config.rope_factors.astype(np.float64)
    if not config.rope_scaling:
        return inv
    factor, low, high = (config.rope_scaling[k] for k in ("factor", "low_freq_factor", "high_freq_factor"))
    context = config.rope_scaling["original_max_position_embeddings"]
    out = np.empty_like(inv)
    for i, frequency in enumerate(inv):
        wavelength = 2 * np.pi / frequency
        if wavelength < context / high:
            out[i] = frequency
        elif wavelength > context / low:
            out[i] = frequency / factor
        else:
            smooth = (context / wavelength - low) / (high - low)
            out[i] = (1 - smooth) * frequency / factor + smooth * frequency
    return out


def rope(x, positions, config):
    """Rotate-half on heads side by side: pair i of a head is (i, i + head_dim / 2)."""
    angles = np.asarray(positions, dtype=np.float64)[:, None] * inverse_frequencies(config)[None, :]
    cos, sin = (f(angles).astype(x.dtype)[:, None, :] for f in (np.cos, np.sin))
    heads = x.reshape(len(x), -1, config.head_dim)
    a, b = np.split(heads, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def causal_attention(q, k, v, config):
    """Every token over itself and those before; query head h uses kv head h / (heads / kv_heads)."""
    tokens = len(q)
    q, k, v = (x.reshape(tokens, -1, config.head_dim).swapaxes(0, 1) for x in (q, k, v))
    group = config.heads // config.kv_heads
    k, v = np.repeat(k, group, axis=0), np.repeat(v, group, axis=0)
    scores = q @ k.swapaxes(1, 2) / q.dtype.type(np.sqrt(config.head_dim))
    scores = np.where(np.tril(np.ones((tokens, tokens), dtype=bool)), scores, -np.inf)
    return (softmax(scores) @ v).swapaxes(0, 1).reshape(tokens, -1)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def next_token_logprobs(logits, tokens):
    """Log-probability of tokens[1:], each given those before it."""
    return log_softmax(logits)[np.arange(len(tokens) - 1), tokens[1:]]


@dataclass
class Forward:
    trace: dict  # names of docs/trace.md
    margins: np.ndarray  # per token: the smallest distance of any of its activations to a rounding boundary

    @property
    def margin(self):
        return float(self.margins.min())


@dataclass
class Model:
    config: Config
    embed: np.ndarray
    layers: list  # of dicts: the Linears q k v o gate up down, norms as arrays
    output_norm: np.ndarray
    head: np.ndarray  # the embedding itself when tied
    dtype: type = np.float64

    def forward(self, tokens, positions=None, attention=None):
        """`attention(layer, q, k, v)` may be replaced: the search for clean inputs looks many tokens ahead."""
        c, dtype = self.config, self.dtype
        tokens = np.asarray(tokens)
        positions = np.arange(len(tokens)) if positions is None else positions
        attention = attention or (lambda _, q, k, v: causal_attention(q, k, v, c))
        trace, margins = {"tokens": tokens.astype(np.int32)}, [np.full(len(tokens), 0.5)]

        def product(group, names, layer, x):
            """The Linears `names` of one input, quantised once per group size: x stays as it is for the dense ones."""
            linears = [self.layers[layer][name] for name in names]
            quantised = {}
            for linear in linears:
                if not linear.ternary or linear.group in quantised:
                    continue
                q8, step, margin = quantise_activation(x, linear.group)
                margins.append(margin)
                if not quantised:
                    trace[f"layers.{layer}.{group}.q8"] = q8.astype(np.int8)
                    trace[f"layers.{layer}.{group}.q8_scale"] = step
                quantised[linear.group] = q8, step
            for name, linear in zip(names, linears):
                if linear.ternary:
                    y = linear.ternary_product(*quantised[linear.group])
                else:
                    y = x @ linear.weight.T.astype(dtype)
                trace[f"layers.{layer}.{name}"] = y if linear.bias is None else y + linear.bias.astype(dtype)

        def norm(x, weight):
            return rms_norm(x, weight.astype(dtype), c.eps)

        def head_norm(x, weight):
            return norm(x.reshape(-1, c.head_dim), weight).reshape(x.shape)

        x = trace["embed"] = self.embed[tokens].astype(dtype)
        for i, layer in enumerate(self.layers):
            at = f"layers.{i}."
            trace[at + "attn_norm"] = norm(x, layer["attn_norm"])
            product("qkv", ("q", "k", "v"), i, trace[at + "attn_norm"])
            q, k = trace[at + "q"], trace[at + "k"]
            if c.qk_norm:
                q = trace[at + "q_norm"] = head_norm(q, layer["q_norm"])
                k = trace[at + "k_norm"] = head_norm(k, layer["k_norm"])
            trace[at + "q_rope"], trace[at + "k_rope"] = rope(q, positions, c), rope(k, positions, c)
            a = trace[at + "attn"] = attention(i, trace[at + "q_rope"], trace[at + "k_rope"], trace[at + "v"])
            if c.sub_norms:
                a = trace[at + "attn_sub_norm"] = norm(a, layer["attn_sub_norm"])
            product("o", ("o",), i, a)
            x = trace[at + "attn_residual"] = x + trace[at + "o"]
            trace[at + "ffn_norm"] = norm(x, layer["ffn_norm"])
            product("gate_up", ("gate", "up"), i, trace[at + "ffn_norm"])
            f = trace[at + "act"] = ACTIVATIONS[c.activation](trace[at + "gate"]) * trace[at + "up"]
            if c.sub_norms:
                f = trace[at + "ffn_sub_norm"] = norm(f, layer["ffn_sub_norm"])
            product("down", ("down",), i, f)
            x = trace[at + "residual"] = x + trace[at + "down"]
        x = trace["output_norm"] = norm(x, self.output_norm)
        trace["logits"] = x @ self.head.T.astype(dtype)
        return Forward(trace, np.min(margins, axis=0))


# --- a Hugging Face folder -----------------------------------------------------------------------------

ARCHITECTURES = {
    "BitNetForCausalLM": "bitnet-b1.58",
    "BitnetForCausalLM": "bitnet",
    "LlamaForCausalLM": "llama",
    "Qwen3ForCausalLM": "qwen3",
}
SUB_NORMS = {
    "bitnet-b1.58": ("self_attn.attn_sub_norm", "mlp.ffn_sub_norm"),
    "bitnet": ("self_attn.inner_attn_ln", "mlp.ffn_layernorm"),
}


def config_from_json(c):
    architecture = ARCHITECTURES[c["architectures"][0]]
    scaling = c.get("rope_scaling")
    if scaling:
        assert scaling.get("rope_type", scaling.get("type")) == "llama3", scaling
    return Config(
        architecture=architecture, hidden=c["hidden_size"], ffn=c["intermediate_size"],
        layers=c["num_hidden_layers"], heads=c["num_attention_heads"], kv_heads=c["num_key_value_heads"],
        head_dim=c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"], vocab=c["vocab_size"],
        eps=c["rms_norm_eps"], activation=c["hidden_act"], rope_theta=c["rope_theta"], rope_scaling=scaling,
        sub_norms=architecture in SUB_NORMS, qk_norm=architecture == "qwen3", tied=c["tie_word_embeddings"],
    )  # fmt: skip


def linear_from_tensors(tensors, name, config_json):
    """One projection as the folder declares it: packed, latent (quantised here), exactly ternary, or dense."""
    quantization = config_json.get("quantization_config") or {}
    weight, bias = tensors[name + ".weight"], tensors.get(name + ".bias")
    if bias is not None:
        bias = bias.astype(np.float64)
    if weight.dtype == np.uint8:
        stored = tensors[name + ".weight_scale"].astype(np.float32).reshape(-1)
        scale = stored[0] if len(stored) == 1 else stored[:, None]
        if quantization.get("linear_class", "bitlinear") == "bitlinear":
            scale = np.float32(1) / scale
        return Linear(digits=unpack_uint8(weight), scale=scale, bias=bias)
    if quantization.get("quant_method") == "tern":
        if quantization["weights"] == "fp":
            return Linear(weight=weight.astype(np.float64), bias=bias)
        digits, scale = quantise_latent(weight, quantization["weights"], quantization["scale"],
                                        quantization.get("group_size"))  # fmt: skip
        return Linear(digits=digits, scale=scale, bias=bias)
    exact = exact_ternary(weight)
    if exact is not None:
        return Linear(digits=exact[0], scale=exact[1], bias=bias)
    latent = quantization.get("quantization_mode") == "online" or config_json.get("weight_bits") == 1
    if latent:
        digits, scale = quantise_weight(weight)
        return Linear(digits=digits, scale=scale, bias=bias)
    return Linear(weight=weight.astype(np.float64), bias=bias)


def load_folder(folder):
    with open(os.path.join(folder, "config.json")) as f:
        config_json = json.load(f)
    config, tensors = config_from_json(config_json), read_folder_tensors(folder)

    def wide(name):
        return tensors[name].astype(np.float64)

    layers = []
    for i in range(config.layers):
        at = f"model.layers.{i}."
        layer = {n: linear_from_tensors(tensors, at + hf, config_json) for n, hf in PROJECTIONS.items()}
        layer["attn_norm"] = wide(at + "input_layernorm.weight")
        layer["ffn_norm"] = wide(at + "post_attention_layernorm.weight")
        if config.sub_norms:
            attention_name, ffn_name = SUB_NORMS[config.architecture]
            layer["attn_sub_norm"] = wide(at + attention_name + ".weight")
            layer["ffn_sub_norm"] = wide(at + ffn_name + ".weight")
        if config.qk_norm:
            layer["q_norm"] = wide(at + "self_attn.q_norm.weight")
            layer["k_norm"] = wide(at + "self_attn.k_norm.weight")
        layers.append(layer)
    embed = wide("model.embed_tokens.weight")
    head = embed if config.tied else wide("lm_head.weight")
    return Model(config, embed, layers, wide("model.norm.weight"), head)


# --- clean inputs --------------------------------------------------------------------------------------


def find_clean_tokens(models, count, seed, margin=CLEAN_MARGIN):
    """Chooses `count` ids, one position after another, so that every activation of every model keeps `margin`.

    Attention is causal: what a token computes depends on nothing after it, so each position can try one id
    after another. A whole random input would hardly ever be clean: it has a hundred thousand activations.
    Returns None if at some position no id of the vocabulary is clean.
    """
    rng = np.random.default_rng(seed)
    caches = [[([], []) for _ in m.layers] for m in models]
    chosen = []
    for position in range(count):
        token = None
        for candidates in np.array_split(rng.permutation(min(m.config.vocab for m in models)), 16):
            runs = [model.forward(candidates, np.full(len(candidates), position), look_ahead(model.config, cache))
                    for model, cache in zip(models, caches)]  # fmt: skip
            clean = np.flatnonzero(np.min([run.margins for run in runs], axis=0) >= margin)
            if len(clean) > 0:
                token = clean[0]
                break
        if token is None:
            return None
        chosen.append(int(candidates[token]))
        for run, cache in zip(runs, caches):
            for i, (keys, values) in enumerate(cache):
                keys.append(run.trace[f"layers.{i}.k_rope"][token])
                values.append(run.trace[f"layers.{i}.v"][token])
    return chosen


def look_ahead(config, cache):
    """Attention of many alternatives for one position, all over the same keys before it and their own."""
    group = config.heads // config.kv_heads

    def attention(layer, q, k, v):
        keys, values = (np.array(x).reshape(-1, config.kv_heads, config.head_dim) for x in cache[layer])
        n = len(q)
        q = q.reshape(n, config.kv_heads, group, config.head_dim)
        k, v = (x.reshape(n, config.kv_heads, config.head_dim) for x in (k, v))
        before = np.einsum("nhgd,phd->nhgp", q, keys)
        own = np.einsum("nhgd,nhd->nhg", q, k)[..., None]
        p = softmax(np.concatenate([before, own], axis=-1) / np.sqrt(config.head_dim))
        mixed = np.einsum("nhgp,phd->nhgd", p[..., :-1], values) + p[..., -1:] * v[:, :, None, :]
        return mixed.reshape(n, -1)

    return attention
