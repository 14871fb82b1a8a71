#!/usr/bin/python3
"""Writes tiny random models of every kind as Hugging Face folders, each with a clean input in inputs.json.

make_models.py OUT [--seed N] [--only KIND ...]   models of the size the GGUF types need
make_models.py --goldens DIR                      very small ones with expected.json, for tests without Python
"""

import argparse
import copy
import json
import os
import sys
from dataclasses import dataclass, field

# Matrices this small gain nothing from threads, which on a busy machine wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import reference_model as ref

# The seed of the weights and of the search for inputs, committed: every kind has a clean input under it.
SEED = 20240227
INPUT_LENGTH = 48


@dataclass
class Kind:
    """What one folder is made of. `storage` is how projections lie in the file, `dtype` how all else does."""

    architecture: str
    storage: str  # packed, latent, trained (latent of another kind than the Hub's), exact or dense
    dtype: str  # BF16, F16 or F32
    hidden: int = 256
    ffn: int = 512
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = None
    layers: int = 2
    vocab: int = 320
    tied: bool = True
    activation: str = "silu"
    theta: float = 10000.0
    deviation: float = 0.08  # of the projections' weights
    config: dict = field(default_factory=dict)  # further keys of config.json


OFFLINE = {"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                   "quantization_mode": "offline"}}  # fmt: skip
ONLINE = {"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                  "quantization_mode": "online"}}  # fmt: skip
INVERSE = {"quantization_config": {"quant_method": "bitnet", "modules_to_not_convert": None}}
# A context of 64 puts the changed frequencies where 48 positions feel them.
LLAMA3_ROPE = {"rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                "original_max_position_embeddings": 64, "rope_type": "llama3"}}  # fmt: skip
ONE_BIT = {"weight_bits": 1, "input_bits": 8}
BITNET = dict(architecture="BitNetForCausalLM", activation="relu2", theta=500000.0, deviation=0.03)

KINDS = {
    "bitnet2b4t_packed": Kind(**BITNET, storage="packed", dtype="BF16", config=OFFLINE),
    "bitnet2b4t_latent": Kind(**BITNET, storage="latent", dtype="BF16", config=ONLINE),
    "bitnet2b4t_latent_192": Kind(**BITNET, storage="latent", dtype="F32", config=ONLINE, hidden=192, ffn=320),
    "llama_packed_inverse": Kind("LlamaForCausalLM", "packed", "F16", config=INVERSE, kv_heads=4),
    "llama_packed_128": Kind("LlamaForCausalLM", "packed", "BF16", config=INVERSE, hidden=128, ffn=320, tied=False),
    "llama3_rope": Kind("LlamaForCausalLM", "packed", "BF16", config={**INVERSE, **LLAMA3_ROPE}, tied=False,
                        theta=500000.0, heads=8),
    "bitnet_1bitllm": Kind("BitnetForCausalLM", "latent", "F32", config=ONE_BIT, kv_heads=4, deviation=0.03),
    "llama_fp": Kind("LlamaForCausalLM", "dense", "F32", tied=False),
    "llama_fp_f16": Kind("LlamaForCausalLM", "dense", "F16", kv_heads=1),
    "llama_fp_bias": Kind("LlamaForCausalLM", "dense", "BF16", config={"attention_bias": True}, kv_heads=4),
    "qwen3_fp": Kind("Qwen3ForCausalLM", "dense", "BF16", head_dim=96, theta=1000000.0),
    "qwen3_ternary_exact": Kind("Qwen3ForCausalLM", "exact", "BF16", head_dim=64, theta=1000000.0, tied=False),
}  # fmt: skip



def trained(weights, scale=None, group_size=None):
    quantization = {"quant_method": "tern", "weights": weights, "scale": scale, "group_size": group_size,
                    "modules_to_not_convert": ["lm_head"]}  # fmt: skip
    return {"quantization_config": {k: v for k, v in quantization.items() if v is not None}}


ONE_BIT_LLM = dict(architecture="BitnetForCausalLM", dtype="F32", deviation=0.03)
LLAMA = dict(architecture="LlamaForCausalLM", dtype="F32")
KINDS |= {
    "bitnet2b4t_b1": Kind(**BITNET, storage="trained", dtype="F32", config=trained("b1", "tensor")),
    "bitnet2b4t_b158_group64": Kind(**BITNET, storage="trained", dtype="F32", config=trained("b1.58", "group", 64)),
    "bitnet2b4t_fp": Kind(**BITNET, storage="dense", dtype="F32", config=trained("fp")),
    "bitnet_b158_row": Kind(**ONE_BIT_LLM, storage="trained", config=trained("b1.58", "row")),
    "bitnet_b1_group256": Kind(**ONE_BIT_LLM, storage="trained", config=trained("b1", "group", 256)),
    "bitnet_fp": Kind(**ONE_BIT_LLM, storage="dense", config=trained("fp")),
    "llama_b1_row": Kind(**LLAMA, storage="trained", config=trained("b1", "row")),
    "llama_b1_group128": Kind(**LLAMA, storage="trained", config=trained("b1", "group", 128), tied=False),
    "llama_b158_tensor": Kind(**LLAMA, storage="trained", config=trained("b1.58", "tensor")),
    "llama_b158_group128": Kind(**LLAMA, storage="trained", config=trained("b1.58", "group", 128)),
    "llama_fp_declared": Kind(**LLAMA, storage="dense", config=trained("fp")),
}  # fmt: skip

SMALL = dict(hidden=64, ffn=96, vocab=64)
GOLDENS = {
    "bitnet2b4t_packed": Kind(**BITNET, storage="packed", dtype="BF16", config=OFFLINE, **SMALL),
    "llama3_rope": Kind("LlamaForCausalLM", "packed", "BF16", config={**INVERSE, **LLAMA3_ROPE}, tied=False,
                        theta=500000.0, **SMALL),
    "bitnet_1bitllm": Kind("BitnetForCausalLM", "latent", "BF16", config=ONE_BIT, hidden=48, ffn=96, vocab=64,
                           heads=3, kv_heads=1),
    "qwen3_fp": Kind("Qwen3ForCausalLM", "dense", "BF16", hidden=40, ffn=80, vocab=64, head_dim=24,
                     theta=1000000.0, tied=False),
}  # fmt: skip

MODEL_TYPES = {"BitNetForCausalLM": "bitnet", "BitnetForCausalLM": "llama", "LlamaForCausalLM": "llama",
               "Qwen3ForCausalLM": "qwen3"}  # fmt: skip


def config_json(kind):
    return {
        "architectures": [kind.architecture],
        "model_type": MODEL_TYPES[kind.architecture],
        "hidden_size": kind.hidden,
        "intermediate_size": kind.ffn,
        "num_hidden_layers": kind.layers,
        "num_attention_heads": kind.heads,
        "num_key_value_heads": kind.kv_heads,
        **({"head_dim": kind.head_dim} if kind.head_dim else {}),
        "vocab_size": kind.vocab,
        "hidden_act": kind.activation,
        "rms_norm_eps": 1e-06 if kind.architecture == "Qwen3ForCausalLM" else 1e-05,
        "rope_theta": kind.theta,
        "rope_scaling": None,
        "max_position_embeddings": 512,
        "initializer_range": 0.02,
        "tie_word_embeddings": kind.tied,
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[kind.dtype],
        "use_cache": True,
        **kind.config,
    }


def stored(dtype, x):
    """(dtype name, array) as write_safetensors takes it."""
    if dtype == "BF16":
        return dtype, ref.f32_to_bf16(x)
    return dtype, x.astype(np.float16 if dtype == "F16" else np.float32)


def away_from_boundary(w):
    """Moves latent weights off the 0.5 boundary of absmean rounding, so that the digits are no matter of luck."""
    mean = np.abs(w).mean()
    near = np.abs(np.abs(w) / mean - 0.5) < 0.01
    return np.where(near, np.sign(w) * mean * 0.56, w)


def away_from_declared_boundary(w, quantization):
    """The same, part by part, for quant_method "tern"; b1's boundary is the mean."""
    w = w.copy()
    for part in ref.latent_parts(w.shape, quantization["scale"], quantization.get("group_size")):
        if quantization["weights"] == "b1.58":
            w[part] = away_from_boundary(w[part])
        else:
            mean, s = w[part].mean(), np.abs(w[part]).mean()
            w[part] = np.where(np.abs(w[part] - mean) < 0.01 * s, mean + 0.02 * s, w[part])
    return w


def projection_tensors(kind, name, shape, rng):
    w = rng.normal(0, kind.deviation, shape)
    if kind.storage == "dense":
        return {name + ".weight": stored(kind.dtype, w)}
    if kind.storage == "latent":
        return {name + ".weight": stored(kind.dtype, away_from_boundary(w))}
    if kind.storage == "trained":
        w = w + 0.3 * kind.deviation  # So that b1's mean is no matter of noise.
        w = away_from_declared_boundary(w, kind.config["quantization_config"])
        return {name + ".weight": stored(kind.dtype, w)}
    digits, scale = ref.quantise_weight(w)
    if kind.storage == "exact":
        # Far more zeros than absmean would leave: quantising these again would give a wrong scale.
        digits = digits * (rng.random(shape) < 0.6)
        scale = ref.bf16_to_f32(ref.f32_to_bf16(scale))
        return {name + ".weight": stored(kind.dtype, digits * scale)}
    inverse = "linear_class" not in kind.config["quantization_config"]
    return {
        name + ".weight": ("U8", ref.pack_uint8(digits)),
        name + ".weight_scale": stored("BF16", np.array([1 / scale if inverse else scale])),
    }


def make_tensors(kind, rng):
    head_dim = kind.head_dim or kind.hidden // kind.heads
    q_width, kv_width = kind.heads * head_dim, kind.kv_heads * head_dim
    shapes = {"q": (q_width, kind.hidden), "k": (kv_width, kind.hidden), "v": (kv_width, kind.hidden),
              "o": (kind.hidden, q_width), "gate": (kind.ffn, kind.hidden), "up": (kind.ffn, kind.hidden),
              "down": (kind.hidden, kind.ffn)}  # fmt: skip
    architecture = ref.ARCHITECTURES[kind.architecture]

    def norm(size):
        return stored(kind.dtype, 1 + 0.2 * rng.normal(size=size))

    def embedding():
        values = rng.normal(0, 0.15, (kind.vocab, kind.hidden))
        # Ternary kinds get an embedding that f16 holds exactly, so that a clean input stays clean in a GGUF;
        # the dense kinds show what rounding it does.
        return stored(kind.dtype, values if kind.storage == "dense" else values.astype(np.float16))

    tensors = {"model.embed_tokens.weight": embedding()}
    for i in range(kind.layers):
        at = f"model.layers.{i}."
        for name, shape in shapes.items():
            tensors.update(projection_tensors(kind, at + ref.PROJECTIONS[name], shape, rng))
            if kind.config.get("attention_bias") and name in "qkvo":
                tensors[at + ref.PROJECTIONS[name] + ".bias"] = stored(kind.dtype, rng.normal(0, 0.3, shape[0]))
        tensors[at + "input_layernorm.weight"] = norm(kind.hidden)
        tensors[at + "post_attention_layernorm.weight"] = norm(kind.hidden)
        if architecture in ref.SUB_NORMS:
            attention_name, ffn_name = ref.SUB_NORMS[architecture]
            tensors[at + attention_name + ".weight"] = norm(q_width)
            tensors[at + ffn_name + ".weight"] = norm(kind.ffn)
        if architecture == "qwen3":
            tensors[at + "self_attn.q_norm.weight"] = norm(head_dim)
            tensors[at + "self_attn.k_norm.weight"] = norm(head_dim)
    tensors["model.norm.weight"] = norm(kind.hidden)
    if not kind.tied:
        tensors["lm_head.weight"] = embedding()
    return tensors


def with_f16_scales(model):
    """The same model as a TQ1_0 or TQ2_0 file holds it."""
    model = copy.deepcopy(model)
    for layer in model.layers:
        for name in ref.PROJECTIONS:
            if layer[name].ternary:
                layer[name].scale = np.float32(np.float16(layer[name].scale))
    return model


def rounding_changes(model):
    return any(layer[n].ternary and np.any(np.float32(np.float16(layer[n].scale)) != layer[n].scale)
               for layer in model.layers for n in ref.PROJECTIONS)  # fmt: skip


def write_folder(folder, name, kind, seed):
    """Writes one folder; returns the loaded model and its inputs."""
    os.makedirs(folder, exist_ok=True)
    # The name is part of the seed: a new kind in the table changes no other.
    rng = np.random.default_rng([seed, *name.encode()])
    ref.write_safetensors(os.path.join(folder, "model.safetensors"), make_tensors(kind, rng))
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config_json(kind), f, indent=2)
        f.write("\n")
    model = ref.load_folder(folder)
    models = [model, with_f16_scales(model)] if rounding_changes(model) else [model]
    tokens = ref.find_clean_tokens(models, INPUT_LENGTH, seed)
    if tokens is None:
        sys.exit(f"{folder}: no clean input under seed {seed}; try another")
    return model, tokens


def write_models(out, seed, only):
    for name, kind in KINDS.items():
        if only and name not in only:
            continue
        folder = os.path.join(out, name)
        model, tokens = write_folder(folder, name, kind, seed)
        forward = model.forward(tokens)
        with open(os.path.join(folder, "inputs.json"), "w") as f:
            json.dump({"tokens": tokens, "clean_seed": seed, "margin": forward.margin}, f)
            f.write("\n")
        logprobs = ref.log_softmax(forward.trace["logits"])
        entropy = -(np.exp(logprobs) * logprobs).sum(axis=1).mean()
        print(f"{name}: margin {forward.margin:.2e}, entropy {entropy:.2f} of {np.log(kind.vocab):.2f}")


def write_goldens(out, seed):
    for name, kind in GOLDENS.items():
        folder = os.path.join(out, name)
        model, tokens = write_folder(folder, "golden " + name, kind, seed)
        forward = model.forward(tokens)
        logprobs = ref.next_token_logprobs(forward.trace["logits"], tokens)
        with open(os.path.join(folder, "expected.json"), "w") as f:
            json.dump({"tokens": tokens, "logprobs": list(logprobs), "margin": forward.margin}, f)
            f.write("\n")
        size = sum(os.path.getsize(os.path.join(folder, n)) for n in os.listdir(folder))
        print(f"{name}: margin {forward.margin:.2e}, {size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", metavar="OUT")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND")
    parser.add_argument("--goldens", metavar="DIR")
    args = parser.parse_args()
    if (args.out is None) == (args.goldens is None):
        parser.error("give OUT or --goldens DIR")
    if args.goldens:
        write_goldens(args.goldens, args.seed)
    else:
        write_models(args.out, args.seed, args.only)


if __name__ == "__main__":
    main()
