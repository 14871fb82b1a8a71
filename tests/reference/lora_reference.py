#!/usr/bin/python3
"""LoRA's oracle: adapters beside a frozen base, after PEFT's published semantics, in plain PyTorch.

    y = base_layer(x) + lora_alpha / r * lora_B(lora_A(x))

x is the layer's input as it comes, in floats, whatever the base layer does with it; the base's weights, norms,
embedding and head get no gradients; AdamW moves A and B alone, with weight decay on both. The base's forward pass is
train_reference.py's, which knows only the papers. Nothing here was written from tern's C++.

Usage: lora_reference.py --check GOLDENS    runs every case again and compares with what is committed
       lora_reference.py --make GOLDENS     writes them (tests/golden/lora; the bases lie in tests/golden/train)
       lora_reference.py --self-test GOLDENS

    CASE/config.json             the recipe, flat, with "lora.rank", "lora.alpha" and "lora.targets"
    CASE/adapter.safetensors     first A and B, float32, by PEFT's names; B is not 0, so that A has a gradient
    CASE/golden.json             "initial", "tokens": paths relative to CASE; "losses", "grad_norms" of every step;
                                 "others": how far runs in float64 and with noise are away
    CASE/gradients.safetensors   gradients of A and B in step 1 before clipping
"""

import itertools
import json
import math
import os
import sys
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

import make_train_goldens as goldens
import reference_model as ref
import train_reference as train

SEED = 20261123
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RATES = {"schedule.learning_rate": 8e-3, "schedule.second_learning_rate": 5e-3}
CASES = {
    "ternary": ("bitnet-b1.58", {"lora.rank": 4, "lora.alpha": 8.0, "lora.targets": ALL}),
    "ternary-some": ("bitnet-b1.58-row", {"lora.rank": 3, "lora.alpha": 5.0,
                                          "lora.targets": ["v_proj", "down_proj"]}),
    "fp": ("llama-fp", {"lora.rank": 4, "lora.alpha": 8.0, "lora.targets": ALL}),
    "fp-some": ("bitnet-fp", {"lora.rank": 2, "lora.alpha": 1.0, "lora.targets": ["q_proj", "up_proj"]}),
}  # fmt: skip


def peft_name(weight, half):
    """model.layers.0.self_attn.q_proj.weight -> PEFT's name of one half."""
    return f"base_model.model.{weight.removesuffix('.weight')}.lora_{half}.weight"


def targets_of(tensors, recipe):
    return [name for name in tensors if name.split(".")[-2] in recipe["lora.targets"]]


def make_adapter(tensors, recipe, rng):
    adapter, rank = {}, recipe["lora.rank"]
    for name in targets_of(tensors, recipe):
        rows, cols = tensors[name].shape
        bound = 1 / math.sqrt(cols)  # Kaiming's uniform with a = sqrt(5).
        adapter[peft_name(name, "A")] = rng.uniform(-bound, bound, (rank, cols)).astype(np.float32)
        adapter[peft_name(name, "B")] = rng.normal(0, 0.02, (rows, rank)).astype(np.float32)
    return adapter


def adapted(base_linear, pairs, scale):
    def linear(x, w, recipe):
        y = base_linear(x, w, recipe)
        if id(w) not in pairs:
            return y
        a, b = pairs[id(w)]
        return y + F.linear(F.linear(x, a), b) * scale

    return linear


def run(recipe, tensors, adapter, tokens, dtype=torch.float32, least_margin=0.0):
    """As train_reference.train(), of A and B; None where an activation comes too close to a boundary."""
    base = {name: torch.tensor(array, dtype=dtype) for name, array in tensors.items()}
    parameters = {name: torch.tensor(array, dtype=dtype).requires_grad_() for name, array in adapter.items()}
    pairs = {id(base[name]): tuple(parameters[peft_name(name, half)] for half in "AB")
             for name in targets_of(tensors, recipe)}  # fmt: skip
    optimizer = train.make_optimizer(parameters, recipe)
    starts = train.window_starts(len(tokens), recipe["training.sequence"], recipe["training.seed"])
    steps = math.ceil(recipe["training.tokens"] / train.tokens_per_step(recipe))
    result = {"losses": [], "grad_norms": [], "terms": []}
    train.margin.reset()
    with mock.patch.object(train, "linear", adapted(train.linear, pairs, recipe["lora.alpha"] / recipe["lora.rank"])):
        for step in range(steps):
            optimizer.zero_grad()
            terms = train.backward_of_step(starts, tokens, base, {**recipe, "share": 1.0}, None)
            result["losses"].append(terms.pop("loss"))
            result["terms"].append(terms)
            if train.margin.activation < least_margin:
                return None
            if step == 0:
                result["gradients"] = {name: p.grad.numpy().copy() for name, p in parameters.items()}
            result["grad_norms"].append(float(train.clip(parameters, recipe["optimizer.clip"])))
            train.set_rates(optimizer, *train.rates(recipe, step, train.progress_of(step, recipe)))
            optimizer.step()
    assert all(tensor.grad is None for tensor in base.values())
    result["final"] = {name: p.detach().numpy() for name, p in parameters.items()}
    return result


def other_runs(recipe, tensors, adapter, tokens):
    yield run(recipe, tensors, adapter, tokens, dtype=torch.float64)
    for seed in range(goldens.NOISY_RUNS):
        noisy = goldens.noisy_linear(torch.Generator().manual_seed(seed))
        with mock.patch.object(train, "linear", noisy):
            yield run(recipe, tensors, adapter, tokens)


def make_case(root, case):
    base_case, lora = CASES[case]
    recipe = {**goldens.recipe_of(base_case), **RATES, **lora}
    golden = {"initial": f"../../train/{recipe['model.architecture']}.safetensors", "tokens": "../../train/tokens.json"}
    folder = os.path.join(root, case)
    os.makedirs(folder, exist_ok=True)
    tensors = train.read_weights(os.path.join(folder, golden["initial"]))
    tokens = train.read_json(os.path.join(folder, golden["tokens"]))
    adapter = make_adapter(tensors, recipe, np.random.default_rng([SEED, list(CASES).index(case)]))
    for seed in itertools.count(SEED):
        recipe["training.seed"] = seed
        found = run(recipe, tensors, adapter, tokens, least_margin=goldens.MARGIN[0])
        if found is None:
            continue
        others = [goldens.distance(found, other) for other in other_runs(recipe, tensors, adapter, tokens)]
        furthest = {key: max(other[key] for other in others) for key in others[0]}
        if max(furthest.values()) <= goldens.SAME:
            break
    goldens.write_json(os.path.join(folder, "config.json"), recipe)
    train.write_gradients(os.path.join(folder, "adapter.safetensors"), adapter)
    train.write_gradients(os.path.join(folder, "gradients.safetensors"), found["gradients"])
    series = {key: found[key] for key in ("losses", "grad_norms")}
    made = {"made_by": "tests/reference/lora_reference.py", "torch": torch.__version__, "threads": 1}
    goldens.write_json(os.path.join(folder, "golden.json"), {**golden, **made, **series, "others": furthest})
    print(f"{case}: seed {seed}, losses {found['losses'][0]:.4f} -> {found['losses'][-1]:.4f}, others {furthest}", flush=True)


def load_case(folder):
    golden = train.read_json(os.path.join(folder, "golden.json"))
    adapter = ref.read_safetensors(os.path.join(folder, "adapter.safetensors"))
    recipe = train.read_json(os.path.join(folder, "config.json"))
    tensors = train.read_weights(os.path.join(folder, golden["initial"]))
    return recipe, tensors, adapter, train.read_json(os.path.join(folder, golden["tokens"])), golden


def worst_of(found, golden, folder):
    gradients = ref.read_safetensors(os.path.join(folder, "gradients.safetensors"))
    assert len(found["losses"]) == len(golden["losses"]) and found["gradients"].keys() == gradients.keys()
    different = train.differences(found, golden["losses"], golden["grad_norms"], gradients)
    name = max(different, key=different.get)
    return different[name], name


def check(root):
    failed = 0
    for case in CASES:
        folder = os.path.join(root, case)
        recipe, tensors, adapter, tokens, golden = load_case(folder)
        worst, name = worst_of(run(recipe, tensors, adapter, tokens), golden, folder)
        failed += worst > train.LIMIT
        print(f"{'FAIL' if worst > train.LIMIT else 'ok  '} {case}: worst {worst:.1e}, {name}")
    return bool(failed)


def adapted_after_rounding(base_linear, pairs, scale, right=adapted):
    """Wrong: an adapter that sees what the base's product sees."""
    addend = right(lambda x, w, recipe: 0, pairs, scale)
    return lambda x, w, recipe: base_linear(x, w, recipe) + addend(train.quantise_activation(x), w, recipe)


def self_test(root):
    """Each way to get it wrong is seen."""
    wrong = {
        "scale of alpha": lambda r, a: (r | {"lora.alpha": r["lora.alpha"] * 1.01}, a),
        "no adapter": lambda r, a: (r, {n: v * 0 if "lora_B" in n else v for n, v in a.items()}),
        "weight decay": lambda r, a: (r | {"schedule.weight_decay": 5.0}, a),
        "other halves": lambda r, a: (r, {n: v[::-1].copy() for n, v in a.items()}),
    }
    for case in CASES:
        folder = os.path.join(root, case)
        recipe, tensors, adapter, tokens, golden = load_case(folder)
        for what, change in wrong.items():
            changed, other = change(recipe, adapter)
            worst, _ = worst_of(run(changed, tensors, other, tokens), golden, folder)
            assert worst > train.LIMIT, f"{case}: {what} is not seen ({worst:.1e})"
        # The adapter must see the input before it is rounded to int8.
        if recipe["model.weights"] != "fp":
            with mock.patch(f"{__name__}.adapted", adapted_after_rounding):
                worst, _ = worst_of(run(recipe, tensors, adapter, tokens), golden, folder)
            assert worst > train.LIMIT, f"{case}: rounded inputs are not seen ({worst:.1e})"
    print("ok")
    return 0


def main():
    torch.set_num_threads(1)
    what, root = sys.argv[1:] if len(sys.argv) == 3 else ("", "")
    if what == "--make":
        for case in CASES:
            make_case(root, case)
        return 0
    if what in ("--check", "--self-test"):
        return {"--check": check, "--self-test": self_test}[what](root)
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
