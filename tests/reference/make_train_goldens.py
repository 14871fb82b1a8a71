#!/usr/bin/python3
"""Writes the goldens of the trainer. Usage: make_train_goldens.py tests/golden/train [CASE ...]

    tokens.json                     the token stream of cases of plain text: a list of ids, from a small Markov chain
    windows.json                    packed conversations: "tokens", "targets", "weights", "segments", each a list of
                                    windows; targets of weight 0 do not count, segment -1 is padding
    ARCHITECTURE.safetensors        initial latent weights, float32, Hugging Face names; shared by its cases
    models/NAME/                    full-precision models to start from or to learn from: Hugging Face folders
    CASE/config.json                the recipe, flat: {"model.architecture": "llama", ...}
    CASE/golden.json                paths relative to CASE: "initial" or, a folder, "start"; "tokens" or "windows";
                                    "teacher", a folder, where there is one; "gradients", and where gradients of
                                    "later_step" are kept too, "later_gradients";
                                    "losses", "grad_norms" (before clipping), "learning_rates", "weight_decays" and
                                    "shares" (of quantisation) of every step; "terms" of the loss before they are
                                    weighted, where there are several; "threads", "torch"; "margin", "others": below
    CASE/gradients.safetensors      gradients of step 1 before clipping, float32, by the weights' names

The loss of a step is computed before its update: losses[0] is that of the initial weights. Losses are means over the
targets that count, also where the sum is differentiated (training.loss).

Training a quantised model is chaotic: one int8 activation that rounds the other way changes a gradient in the third
digit, Adam makes weights of that, a ternary weight flips, and ten steps later the loss differs by 1e-2 although
nobody is wrong. (A model of hidden 32 with 128 tokens a step has 1e6 activations in 20 steps and does so with
every seed.) So the models are as small as the recipe's parts allow, and each case takes the first seed of its data
with which, in all 20 steps,
- every activation keeps MARGIN[0] of an int8 step away from a rounding boundary, every weight MARGIN[1] of its scale;
- the run in float64, and runs in float32 with noise of NOISE in the output of every linear layer, have the same
  losses and terms to SAME and the same gradients of the steps that are kept to SAME.
golden.json says how close to a boundary anything came ("margin", for "activation" and "weight", in those units) and
how far the furthest of those runs is away ("others": "losses", "terms", "grad_norms", "gradients").
"""

import itertools
import json
import os
import sys
from dataclasses import replace
from unittest import mock

import torch

import reference_model as ref
import train_cases as cases
import train_reference as train
from train_cases import recipe_of

MARGIN = (3e-5, 2e-6)
NOISE = 2e-7
NOISY_RUNS = 3
SAME = 1e-5


def noisy_linear(generator):
    right = train.linear

    def linear(x, w, recipe):
        y = right(x, w, recipe)
        return y * (1 + NOISE * torch.randn(y.shape, generator=generator, dtype=y.dtype))

    return linear


def other_runs(case):
    yield case.run(dtype=torch.float64)
    for seed in range(NOISY_RUNS):
        with mock.patch.object(train, "linear", noisy_linear(torch.Generator().manual_seed(seed))):
            yield case.run()


def distance(run, other):
    kinds = [kind for kind in ("gradients", "later_gradients") if kind in run]
    terms = [[[step[key] for step in r["terms"]] for key in r["terms"][0]] for r in (run, other)]
    return {
        "losses": max(abs(a - b) for a, b in zip(run["losses"], other["losses"])),
        "terms": max(train.relative(a, b) for a, b in zip(*terms)),
        "grad_norms": max(abs(a - b) / b for a, b in zip(run["grad_norms"], other["grad_norms"])),
        "gradients": max(train.relative(g, other[kind][name]) for kind in kinds for name, g in run[kind].items()),
    }


def find_seed(case):
    """(the case with the first seed that keeps the rules above, its run, the furthest of the other runs)."""
    for seed in itertools.count(cases.SEED):
        candidate = replace(case, recipe={**case.recipe, "training.seed": seed})
        run = candidate.run(least_margin=MARGIN)
        if run is None:
            continue
        others = [distance(run, other) for other in other_runs(candidate)]
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


def files_of(name, recipe):
    """The paths in golden.json."""
    case = cases.CASES[name]
    begin = {"start": f"../models/{case['start']}"} if "start" in case else {
        "initial": f"../{recipe['model.architecture']}.safetensors"}  # fmt: skip
    data = {"windows": "../windows.json"} if "windows" in case else {"tokens": "../tokens.json"}
    teacher = {"teacher": f"../models/{case['teacher']}"} if "teacher" in case else {}
    later = {"later_step": case["later_step"], "later_gradients": "later-gradients.safetensors"} if (
        "later_step" in case) else {}  # fmt: skip
    return {**begin, **data, **teacher, "gradients": "gradients.safetensors", **later}


def series_of(run, recipe):
    keys = ["losses", "grad_norms", "learning_rates", "weight_decays"]
    series = {key: run[key] for key in keys + ["shares"] * ("quantization.warmup" in recipe)}
    terms = run["terms"][0].keys()
    return series if len(terms) == 1 else {**series, "terms": {key: [t[key] for t in run["terms"]] for key in terms}}


def write_case(root, name):
    folder, recipe = os.path.join(root, name), recipe_of(name)
    os.makedirs(folder, exist_ok=True)
    files = files_of(name, recipe)
    # The case as a reader finds it, but for the seed and the numbers.
    write_json(os.path.join(folder, "config.json"), recipe)
    write_json(os.path.join(folder, "golden.json"), files)
    found, run, others = find_seed(train.load_case(folder))
    recipe["training.seed"] = found.recipe["training.seed"]
    margins = dict(zip(("activation", "weight"), map(finite, run["margin"])))
    write_json(os.path.join(folder, "config.json"), recipe)
    for kind in ("gradients", "later_gradients"):
        if kind in files:
            train.write_gradients(os.path.join(folder, files[kind]), run[kind])
    write_json(os.path.join(folder, "golden.json"), {
        **files, "made_by": "tests/reference/make_train_goldens.py", "torch": torch.__version__, "threads": 1,
        "dtype": "float32", **series_of(run, recipe), "margin": margins, "others": others,
    })  # fmt: skip
    losses, norms = run["losses"], run["grad_norms"]
    print(f"{name}: seed {recipe['training.seed']}, losses {losses[0]:.4f} -> {losses[-1]:.4f}, "
          f"gradient norms {min(norms):.2f} to {max(norms):.2f}, margins {margins}", flush=True)  # fmt: skip


def write_inputs(root):
    for name, data in (("tokens", cases.make_stream()), ("windows", cases.make_windows())):
        with open(os.path.join(root, name + ".json"), "w") as f:
            json.dump(data, f)
    for architecture in cases.SHAPES:
        tensors = {name: ("F32", array) for name, array in cases.make_weights(architecture).items()}
        ref.write_safetensors(os.path.join(root, architecture + ".safetensors"), tensors)
    for name in cases.MODELS:
        folder = os.path.join(root, "models", name)
        os.makedirs(folder, exist_ok=True)
        config, tensors = cases.make_model(name)
        write_json(os.path.join(folder, "config.json"), config)
        ref.write_safetensors(os.path.join(folder, "model.safetensors"), tensors)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    os.makedirs(sys.argv[1], exist_ok=True)
    write_inputs(sys.argv[1])
    for case in sys.argv[2:] or cases.CASES:
        write_case(sys.argv[1], case)


if __name__ == "__main__":
    main()
