"""Proves that check_numbers.py bites: wrong models, played by float32 NumPy in tern's place, must fail.

Started by `check_numbers.py --self-test`.
"""

import copy
import json
import math
import os
from unittest import mock

import numpy as np

import check_numbers as check
import make_models
import reference_model as ref


def play(model, tokens):
    """What tern would print and trace if `model` were it: float32 all the way."""
    model = copy.copy(model)
    model.dtype = np.float32
    trace = model.forward(tokens).trace
    return trace, [None, *ref.next_token_logprobs(trace["logits"], tokens)]


# --- faults: each makes a wrong model of a right one, or patches the reference while the wrong one is played ------


def on_layers(change):
    def apply(model):
        for layer in model.layers:
            change(layer)

    return apply


def swap(a, b):
    def change(layer):
        layer[a], layer[b] = layer[b], layer[a]

    return on_layers(change)


def invert_scales(layer):
    for name in ref.PROJECTIONS:
        layer[name].scale = np.float32(1) / layer[name].scale


def permute_rows(model):
    """q and k left in the interleaved order of GGUF's llama."""
    for layer in model.layers:
        for name, heads in (("q", model.config.heads), ("k", model.config.kv_heads)):
            for part in ("weight", "digits"):
                rows = getattr(layer[name], part)
                if rows is not None:
                    pairs = rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2)
                    setattr(layer[name], part, pairs.reshape(rows.shape))


def flip_digit(model):
    digits = model.layers[0]["down"].digits
    digits[3, 5] = digits[3, 5] % 2 * 2 - 1 if digits[3, 5] == 0 else -digits[3, 5]


def average_again(layer):
    for name in ref.PROJECTIONS:
        layer[name].scale = layer[name].scale * np.float32(np.mean(layer[name].digits != 0))


def set_config(**values):
    def apply(model):
        for name, value in values.items():
            setattr(model.config, name, value)

    return apply


def forget_bias(layer):
    layer["k"].bias = np.zeros_like(layer["k"].bias)


def wrong_head_groups(q, k, v, config):
    """Query head h with kv head h mod kv_heads: the mistake of tiling instead of repeating."""
    order = np.arange(config.heads).reshape(config.kv_heads, -1).T.reshape(-1)
    spread = q.reshape(len(q), -1, config.head_dim)[:, np.argsort(order)].reshape(q.shape)
    out = RIGHT_ATTENTION(spread, k, v, config).reshape(len(q), -1, config.head_dim)
    return out[:, order].reshape(q.shape)


def truncating(x, group=0):
    s = x.dtype.type(127) / np.abs(x).max(axis=-1, keepdims=True)
    return np.trunc(x * s), 1 / s, np.full(len(x), 0.5)


def absmax_128(x, group=0):
    s = x.dtype.type(128) / np.abs(x).max(axis=-1, keepdims=True)
    return np.clip(np.rint(x * s), -128, 127), 1 / s, np.full(len(x), 0.5)


def norm_without_epsilon_inside(x, weight, eps):
    return x / (np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True)) + x.dtype.type(0.01)) * weight


RIGHT_ATTENTION = ref.causal_attention
NOTHING = lambda model: None

# (what, kind, change of the model, patch of the reference, the operation that must be named)
FAULTS = [
    ("SiLU for squared ReLU", "bitnet2b4t_packed", set_config(activation="silu"), {}, ".act:"),
    ("scale the wrong way up", "llama_packed_inverse", on_layers(invert_scales), {}, ".q:"),
    ("q and k rows interleaved", "llama3_rope", permute_rows, {}, ".q:"),
    ("one digit flipped", "bitnet2b4t_packed", flip_digit, {}, "layers.0.down:"),
    ("gate and up swapped", "bitnet_1bitllm", swap("gate", "up"), {}, ".gate:"),
    ("k and v swapped", "llama_fp", swap("k", "v"), {}, ".k:"),
    ("norms of attention and FFN swapped", "llama_fp_f16", swap("attn_norm", "ffn_norm"), {}, ".attn_norm:"),
    ("quantised again by absmean", "qwen3_ternary_exact", on_layers(average_again), {}, ".q:"),
    ("RoPE theta not read", "qwen3_fp", set_config(rope_theta=10000.0), {}, ".q_rope:"),
    ("llama3 RoPE scaling not read", "llama3_rope", set_config(rope_scaling=None), {}, ".q_rope:"),
    ("epsilon not read", "qwen3_fp", set_config(eps=1e-2), {}, ".attn_norm:"),
    ("sub-norms forgotten", "bitnet2b4t_packed", set_config(sub_norms=False), {}, "sub_norm"),
    ("QK norm forgotten", "qwen3_fp", set_config(qk_norm=False), {}, "q_norm"),
    ("bias of k forgotten", "llama_fp_bias", on_layers(forget_bias), {}, ".k:"),
    ("head taken as tied", "llama_fp", lambda model: setattr(model, "head", model.embed), {}, "logits:"),
    ("kv heads tiled", "llama3_rope", NOTHING, {"causal_attention": wrong_head_groups}, ".attn:"),
    ("int8 truncated", "bitnet2b4t_packed", NOTHING, {"quantise_activation": truncating}, ".qkv.q8:"),
    ("int8 of 128 steps", "bitnet2b4t_packed", NOTHING, {"quantise_activation": absmax_128}, ".qkv.q8"),
    ("epsilon outside the root", "llama_fp", NOTHING, {"rms_norm": norm_without_epsilon_inside}, ".attn_norm:"),
]  # fmt: skip


def check_fault(report, models, fault):
    what, kind, change, patch, named = fault
    model, tokens, forward = models[kind]
    wrong = copy.deepcopy(model)
    change(wrong)
    with mock.patch.multiple(ref, **patch) if patch else mock.patch.dict({}):
        trace, logprobs = play(wrong, tokens)
    faults, _, _ = check.compare_operations(model, tokens, trace)
    report.check(any(named in f for f in faults), f"caught by operation: {what}: {faults[:1]}")
    difference = check.compare_end_to_end(forward, tokens, trace, logprobs)
    report.check(difference > check.LOGPROB_LIMIT, f"caught end to end: {what}: {difference:.2e}")


def check_right_model(report, name, model, tokens, forward):
    """float32 NumPy is a right engine: it must pass, with room between its noise and the clean margin."""
    trace, logprobs = play(model, tokens)
    faults, worst, where = check.compare_operations(model, tokens, trace)
    difference = check.compare_end_to_end(forward, tokens, trace, logprobs)
    report.check(not faults and difference <= check.LOGPROB_LIMIT and forward.margin >= ref.CLEAN_MARGIN,
                 f"{name}: float32 passes: worst {worst:.2e} at {where}, end to end {difference:.2e} {faults}")  # fmt: skip
    flips = sum(int(np.sum(trace[n] != forward.trace[n])) for n in trace if n.endswith(".q8"))
    report.check(flips == 0, f"{name}: {flips} int8 values on the other side of a boundary in float32")


def check_int8_rule(report):
    scaled = np.array([[3.2, 3.49995, 3.49985, -3.50005, 126.9]])
    cases = [([3, 3, 3, -4, 127], 0), ([3, 4, 3, -3, 127], 0), ([3, 3, 4, -4, 127], 1), ([4, 3, 3, -4, 127], 1),
             ([3, 2, 3, -4, 127], 1), ([3, 3, 3, -4, 126], 1)]  # fmt: skip
    got = [check.int8_faults(np.array([q], dtype=np.int8), scaled) for q, _ in cases]
    report.check(got == [n for _, n in cases], f"int8 neighbours only within {check.BOUNDARY_LIMIT} of a boundary: {got}")


# --- two tokens by hand --------------------------------------------------------------------------------------


def check_by_hand(report):
    """The formulas once more, in plain loops over Python floats, for two tokens of the 2B4T golden's shape."""
    kind = make_models.GOLDENS["bitnet2b4t_packed"]
    with_files = os.path.join(report.work, "by_hand")
    os.makedirs(with_files, exist_ok=True)
    rng = np.random.default_rng(7)
    ref.write_safetensors(os.path.join(with_files, "model.safetensors"), make_models.make_tensors(kind, rng))
    with open(os.path.join(with_files, "config.json"), "w") as f:
        json.dump(make_models.config_json(kind), f)
    tensors = ref.read_safetensors(os.path.join(with_files, "model.safetensors"))
    want = hand_logits(kind, tensors, [5, 9])
    got = ref.load_folder(with_files).forward([5, 9]).trace["logits"][1]
    difference = max(abs(a - b) for a, b in zip(got, want))
    report.check(difference < 1e-12, f"two tokens by hand: {difference:.2e}")


def hand_norm(x, weight):
    mean = sum(v * v for v in x) / len(x)
    return [v / math.sqrt(mean + 1e-5) * float(w) for v, w in zip(x, weight)]


def hand_bitlinear(tensors, name, x):
    """sum of w q over the inputs, times weight_scale and absmax / 127; row r is in block r / R, at bits 2 (r / R)."""
    packed, scale = tensors[name + ".weight"], float(tensors[name + ".weight_scale"][0])
    top = max(abs(v) for v in x)
    q = [round(v * 127 / top) for v in x]  # Python rounds half to even, as torch does
    block = len(packed)
    y = []
    for r in range(4 * block):
        codes = packed[r % block]
        total = sum(((int(codes[j]) >> (2 * (r // block)) & 3) - 1) * q[j] for j in range(len(q)))
        y.append(total * scale * top / 127)
    return y


def hand_rope(x, position, width, theta):
    out = list(x)
    for head in range(0, len(x), width):
        for i in range(width // 2):
            angle = position * theta ** (-2 * i / width)
            a, b = x[head + i], x[head + i + width // 2]
            out[head + i] = a * math.cos(angle) - b * math.sin(angle)
            out[head + i + width // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def hand_attention(q, keys, values, kind, width):
    out = []
    for head in range(kind.heads):
        at = head // (kind.heads // kind.kv_heads) * width
        scores = [sum(q[head * width + i] * k[at + i] for i in range(width)) / math.sqrt(width) for k in keys]
        e = [math.exp(s) for s in scores]
        out += [sum(p * v[at + i] for p, v in zip(e, values)) / sum(e) for i in range(width)]
    return out


def hand_logits(kind, tensors, tokens):
    width = kind.hidden // kind.heads
    stream = [[float(v) for v in tensors["model.embed_tokens.weight"][t]] for t in tokens]
    for layer in range(kind.layers):
        at = f"model.layers.{layer}."
        keys, values = [], []
        for position, x in enumerate(stream):
            h = hand_norm(x, tensors[at + "input_layernorm.weight"])
            q, k, v = (hand_bitlinear(tensors, f"{at}self_attn.{n}_proj", h) for n in "qkv")
            keys.append(hand_rope(k, position, width, kind.theta))
            values.append(v)
            a = hand_attention(hand_rope(q, position, width, kind.theta), keys, values, kind, width)
            a = hand_norm(a, tensors[at + "self_attn.attn_sub_norm.weight"])
            x = [p + r for p, r in zip(x, hand_bitlinear(tensors, at + "self_attn.o_proj", a))]
            h = hand_norm(x, tensors[at + "post_attention_layernorm.weight"])
            gate, up = (hand_bitlinear(tensors, f"{at}mlp.{n}_proj", h) for n in ("gate", "up"))
            f = [max(g, 0.0) ** 2 * u for g, u in zip(gate, up)]
            f = hand_norm(f, tensors[at + "mlp.ffn_sub_norm.weight"])
            stream[position] = [p + r for p, r in zip(x, hand_bitlinear(tensors, at + "mlp.down_proj", f))]
    h = hand_norm(stream[-1], tensors["model.norm.weight"])
    return [sum(a * float(b) for a, b in zip(h, row)) for row in tensors["model.embed_tokens.weight"]]


def run(report, models_dir, work):
    report.work = work
    if models_dir is None:
        models_dir = os.path.join(work, "models")
        make_models.write_models(models_dir, make_models.SEED, None)
    models = {}
    for name in make_models.KINDS:
        folder = os.path.join(models_dir, name)
        model = ref.load_folder(folder)
        with open(os.path.join(folder, "inputs.json")) as f:
            tokens = json.load(f)["tokens"]
        models[name] = (model, tokens, model.forward(tokens))
        check_right_model(report, name, *models[name])
    for fault in FAULTS:
        check_fault(report, models, fault)
    check_int8_rule(report)
    check_by_hand(report)
