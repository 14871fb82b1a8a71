#!/usr/bin/python3
"""Writes the goldens of the trainer, with train_reference.py. Usage: make_train_goldens.py tests/golden/train

    tokens.json                     the token stream of every case: a list of ids, from a small Markov chain
    ARCHITECTURE.safetensors        initial latent weights, float32, Hugging Face names; shared by its cases
    CASE/config.json                the recipe, flat: {"model.architecture": "llama", ...}
    CASE/golden.json                "initial", "tokens", "gradients": paths relative to CASE;
                                    "losses", "grad_norms" (before clipping), "learning_rates", "weight_decays"
                                    of every step; "threads", "torch"; "float64" and "margin": see below
    CASE/gradients.safetensors      gradients of step 1 before clipping, float32, by the weights' names

The loss of a step is computed before its update: losses[0] is that of the initial weights.

Training a quantised model is chaotic: one int8 activation that rounds the other way changes a gradient in the third
digit, Adam makes weights of that, a ternary weight flips, and ten steps later the loss differs by 1e-2 although
nobody is wrong. (A model of hidden 32 with 128 tokens a step has 1e6 activations in 20 steps and does so with
every seed.) So the models are as small as the recipe's parts allow, and each case takes the first seed of its data
with which, in all 20 steps,
- every activation keeps MARGIN[0] of an int8 step away from a rounding boundary, every weight MARGIN[1] of its scale;
- the run in float64, and runs in float32 with noise of NOISE in the output of every linear layer, have the same
  losses to SAME and the same gradients of step 1 to SAME.
golden.json says how close to a boundary anything came ("margin", for "activation" and "weight", in those units) and
how far the furthest of those runs is away ("others": "losses", "grad_norms", "gradients").
"""

import itertools
import json
import os
import sys
from unittest import mock

import numpy as np
import torch

import reference_model as ref
import train_reference as train

SEED = 20261122
VOCAB = 96
STREAM = 410  # 25 windows and a rest: 40 positions need a second epoch, 120 a fifth.
MARGIN = (3e-5, 2e-6)
FIRST_WEIGHT_MARGIN = 2e-4  # The initial weights are made to keep this.
NOISE = 2e-7
NOISY_RUNS = 3
SAME = 1e-5

SHAPES = {
    "bitnet-b1.58": dict(kv_heads=2, rope_theta=500000.0, rms_eps=1e-5, tied=True),
    "bitnet": dict(kv_heads=4, rope_theta=10000.0, rms_eps=1e-6, tied=True),
    "llama": dict(kv_heads=1, rope_theta=10000.0, rms_eps=1e-6, tied=False),
}
COMMON = {
    "model.hidden": 16,
    "model.ffn": 24,
    "model.layers": 2,
    "model.heads": 4,
    "model.head_dim": 4,
    "model.vocab": VOCAB,
    "model.context": 16,
    "training.sequence": 16,
    "training.batch": 2,
    "training.accumulate": 1,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.95,
    "optimizer.epsilon": 1e-8,
    "optimizer.clip": 1.0,
    "schedule.kind": "two-stage",
    "schedule.learning_rate": 4e-3,
    "schedule.second_learning_rate": 2.5e-3,
    "schedule.weight_decay": 0.1,
    "schedule.second_weight_decay": 0.0,
    "schedule.switch_at": 0.5,
    "schedule.warmup_steps": 3,
}
STEPS = 20
# case -> what it changes; the budget leaves the last step part of a step, so that it counts as a whole one.
CASES = {
    "bitnet-b1.58": {},
    "bitnet-b1.58-b1": {"model.weights": "b1"},
    "bitnet-b1.58-fp": {"model.weights": "fp"},
    "bitnet-b1.58-row": {"model.scale": "row"},
    "bitnet-b1.58-group": {"model.scale": 8},
    "bitnet": {"model.architecture": "bitnet"},
    "llama": {"model.architecture": "llama"},
    # Without quantisation there is no boundary to keep from: here is what needs more tokens, and the other schedules.
    "llama-fp": {"model.architecture": "llama", "model.weights": "fp", "training.accumulate": 3,
                 "schedule.kind": "cosine", "schedule.final_ratio": 0.1},
    "bitnet-fp": {"model.architecture": "bitnet", "model.weights": "fp", "optimizer.clip": 0.0,
                  "schedule.kind": "wsd", "schedule.decay_share": 0.3, "schedule.final_ratio": 0.05},
}  # fmt: skip


def recipe_of(case):
    changed = {"model.architecture": "bitnet-b1.58", "model.weights": "b1.58", "model.scale": "tensor", **CASES[case]}
    shape = {"model." + key: value for key, value in SHAPES[changed["model.architecture"]].items()}
    recipe = {**COMMON, **shape, **changed}
    recipe["training.tokens"] = STEPS * train.tokens_per_step(recipe) - 13
    return recipe


def tensor_shapes(architecture):
    hidden, ffn = COMMON["model.hidden"], COMMON["model.ffn"]
    kv = SHAPES[architecture]["kv_heads"] * COMMON["model.head_dim"]
    shapes = {"model.embed_tokens.weight": (VOCAB, hidden)}
    for layer in range(COMMON["model.layers"]):
        at = train.LAYER.format(layer)
        shapes[at + "input_layernorm.weight"] = (hidden,)
        for name, rows in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden)):
            shapes[f"{at}self_attn.{name}_proj.weight"] = (rows, hidden)
        shapes[at + "post_attention_layernorm.weight"] = (hidden,)
        for name, shape in (("gate", (ffn, hidden)), ("up", (ffn, hidden)), ("down", (hidden, ffn))):
            shapes[f"{at}mlp.{name}_proj.weight"] = shape
        if train.SUB_NORMS[architecture]:
            attn, ffn_norm = train.SUB_NORMS[architecture]
            shapes[at + attn], shapes[at + ffn_norm] = (hidden,), (ffn,)
    shapes["model.norm.weight"] = (hidden,)
    if not SHAPES[architecture]["tied"]:
        shapes["lm_head.weight"] = (VOCAB, hidden)
    return shapes


def near_boundary(w):
    """Which weights lie close to a rounding boundary of any kind and scale that a case uses."""
    near = np.zeros(w.shape, bool)
    for scale in ("tensor", "row", 8):
        parts = []
        for part in train.in_groups(torch.tensor(w), scale):
            share = part / part.abs().mean(dim=1, keepdim=True)
            centred = (part - part.mean(dim=1, keepdim=True)) / part.abs().mean(dim=1, keepdim=True)
            parts.append((share.abs() - 0.5).abs() < FIRST_WEIGHT_MARGIN)
            if scale == "tensor":
                parts[-1] |= centred.abs() < FIRST_WEIGHT_MARGIN
        near |= torch.cat(parts, dim=1).reshape(w.shape).numpy()
    return near


def make_matrix(shape, rng):
    w = rng.normal(0, rng.uniform(0.02, 0.08), shape).astype(np.float32)
    while (near := near_boundary(w)).any():
        w[near] *= np.float32(1.01)
    return w


def make_weights(architecture):
    rng = np.random.default_rng([SEED, list(SHAPES).index(architecture)])
    weights = {}
    for name, shape in tensor_shapes(architecture).items():
        noise = rng.normal(0, 0.1, shape).astype(np.float32)
        weights[name] = 1 + noise if len(shape) == 1 else make_matrix(shape, rng)
    return weights


def make_stream():
    """A Markov chain: five likely successors for each token, so that there is something to learn."""
    rng = np.random.default_rng([SEED, 99])
    successors = rng.integers(0, VOCAB, (VOCAB, 5))
    token, stream = 0, []
    for _ in range(STREAM):
        stream.append(int(token))
        likely = rng.random() < 0.9
        token = successors[token][min(int(rng.exponential(1.2)), 4)] if likely else rng.integers(0, VOCAB)
    return stream


def noisy_linear(generator):
    right = train.linear

    def linear(x, w, recipe):
        y = right(x, w, recipe)
        return y * (1 + NOISE * torch.randn(y.shape, generator=generator))

    return linear


def other_runs(recipe, weights, stream):
    yield train.train(recipe, weights, stream, dtype=torch.float64)
    for seed in range(NOISY_RUNS):
        with mock.patch.object(train, "linear", noisy_linear(torch.Generator().manual_seed(seed))):
            yield train.train(recipe, weights, stream)


def distance(run, other):
    return {
        "losses": max(abs(a - b) for a, b in zip(run["losses"], other["losses"])),
        "grad_norms": max(abs(a - b) / b for a, b in zip(run["grad_norms"], other["grad_norms"])),
        "gradients": max(train.relative(g, other["gradients"][name]) for name, g in run["gradients"].items()),
    }


def find_seed(recipe, weights, stream):
    """(the recipe with the first seed that keeps the rules above, its run, the furthest of the other runs)."""
    for seed in itertools.count(SEED):
        candidate = {**recipe, "training.seed": seed}
        run = train.train(candidate, weights, stream, least_margin=MARGIN)
        if run is None:
            continue
        others = [distance(run, other) for other in other_runs(candidate, weights, stream)]
        furthest = {key: max(other[key] for other in others) for key in others[0]}
        print(f"    seed {seed}: " + ", ".join(f"{key} {value:.1e}" for key, value in furthest.items()), flush=True)
        if max(furthest.values()) <= SAME:
            return candidate, run, furthest


def write_json(path, value):
    # One key per line, lists on one line: small, and readable in a diff.
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    with open(path, "w") as f:
        f.write("{\n" + lines + "\n}\n")


def finite(value):
    return None if value == float("inf") else value


def write_case(root, case, weights, stream):
    recipe, run, others = find_seed(recipe_of(case), weights, stream)
    folder = os.path.join(root, case)
    os.makedirs(folder, exist_ok=True)
    margins = dict(zip(("activation", "weight"), map(finite, run["margin"])))
    write_json(os.path.join(folder, "config.json"), recipe)
    train.write_gradients(os.path.join(folder, "gradients.safetensors"), run["gradients"])
    series = {key: run[key] for key in ("losses", "grad_norms", "learning_rates", "weight_decays")}
    write_json(os.path.join(folder, "golden.json"), {
        "initial": f"../{recipe['model.architecture']}.safetensors", "tokens": "../tokens.json",
        "gradients": "gradients.safetensors", "made_by": "tests/reference/make_train_goldens.py",
        "torch": torch.__version__, "threads": 1, "dtype": "float32", **series, "margin": margins, "others": others,
    })  # fmt: skip
    losses, norms = run["losses"], run["grad_norms"]
    print(f"{case}: seed {recipe['training.seed']}, losses {losses[0]:.4f} -> {losses[-1]:.4f}, "
          f"gradient norms {min(norms):.2f} to {max(norms):.2f}, margins {margins}", flush=True)  # fmt: skip


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = sys.argv[1]
    torch.set_num_threads(1)
    os.makedirs(root, exist_ok=True)
    stream = make_stream()
    with open(os.path.join(root, "tokens.json"), "w") as f:
        json.dump(stream, f)
    weights = {architecture: make_weights(architecture) for architecture in SHAPES}
    for architecture, tensors in weights.items():
        path = os.path.join(root, architecture + ".safetensors")
        ref.write_safetensors(path, {name: ("F32", array) for name, array in tensors.items()})
    for case in CASES:
        write_case(root, case, weights[recipe_of(case)["model.architecture"]], stream)


if __name__ == "__main__":
    main()
