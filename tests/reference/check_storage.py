#!/usr/bin/python3
"""Checks what check_numbers.py does not reach: storages that tern reads but does not write, activations in groups,
and refusals of broken files.

check_storage.py TERN_BINARY [--only TEXT]

Every model of storage_models.SPECS is written as a GGUF and compared operation by operation and end to end with its
float64 model, with check_numbers.py's tolerances. Then broken files: each must be refused in one sentence. One line a
check; exit status 1 on any failure.
"""

import argparse
import copy
import json
import os
import shutil
import sys
import tempfile

import numpy as np

import check_numbers as numbers
import make_models
import reference_model as ref
import storage_models as storages
import storage_refusals as refusals

# Wider than reference_model.CLEAN_MARGIN: a group's step is smaller than its row's, so that the same float32 noise is
# more of it. float32 NumPy differs from float64 by up to 2.8e-4 steps on these models.
CLEAN_MARGIN = 5e-4
INPUT_LENGTH = 48
ISAS = ("scalar", "avx2", "avxvnni", "avx512vnni", "avx512vbmi", "neon", "neon_i8mm")


def with_other_rule(model):
    """The same weights under the other activation rule; None where the two cannot differ."""
    model, changed = copy.copy(model), False
    model.layers = [dict(layer) for layer in model.layers]
    for layer in model.layers:
        for name in ref.PROJECTIONS:
            linear = layer[name]
            if not linear.ternary:
                continue
            layer[name] = linear = copy.copy(linear)
            linear.group = 0 if linear.group else 64
            changed |= linear.digits.shape[1] > 64
    return model if changed else None


def check_spec(report, tern, name, spec, path):
    file, model = storages.build(spec, [make_models.SEED, *name.encode()])
    file.write(path)
    tokens = ref.find_clean_tokens([model], INPUT_LENGTH, make_models.SEED, CLEAN_MARGIN)
    if not report.check(tokens is not None, f"{name}: a clean input exists"):
        return
    forward = model.forward(tokens)
    trace_path = os.path.join(tern.work, "trace.safetensors")
    scored = tern.score(path, tokens, *spec.arguments, trace=trace_path)
    trace = ref.read_safetensors(trace_path)
    faults, worst, where = numbers.compare_operations(model, tokens, trace)
    report.check(not faults, f"{name}: operations, worst {worst:.2e} at {where}" + "".join(f"; {x}" for x in faults[:6]))
    other = with_other_rule(model)
    bites = any(".q8" in fault for fault in numbers.compare_operations(other, tokens, trace)[0])
    report.check(bites, f"{name}: the other activation rule would be noticed")
    difference = numbers.compare_end_to_end(forward, tokens, trace, scored["logprobs"])
    report.check(difference <= numbers.LOGPROB_LIMIT and scored["tokens"] == tokens,
                 f"{name}: log-probabilities within {difference:.2e}")  # fmt: skip
    variants = [(isa, ()) for isa in numbers.usable_isas() if isa in ISAS]
    variants += [(None, ("-t", "1")), (None, ("-t", "3")), (None, ("-b", "1")), (None, ("-b", "7"))]
    variants += [("scalar", ("-t", "3", "-b", "48"))]
    different = [f"{isa or ''} {' '.join(args)}" for isa, args in variants
                 if tern.score(path, tokens, *spec.arguments, *args, isa=isa)["logprobs"] != scored["logprobs"]]  # fmt: skip
    report.check(not different, f"{name}: equal bits in {len(variants)} variants" + "".join(f"; not {d}" for d in different))
    done = tern.run("inspect", path, "--json", *spec.arguments)
    told = json.loads(done.stdout)["config"] if done.returncode == 0 else {}
    wanted = {"activation_rule": spec.rule, "activation": model.config.activation, "tied_head": model.config.tied}
    found = {key: told.get(key) for key in wanted}
    report.check(found == wanted, f"{name}: inspect says {found['activation_rule']}" + (f", not {wanted}" if found != wanted else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tern", metavar="TERN_BINARY")
    parser.add_argument("--only", metavar="TEXT", default="", help="only checks whose name holds TEXT")
    args = parser.parse_args()
    report = numbers.Report()
    with tempfile.TemporaryDirectory() as work:
        tern = numbers.Tern(args.tern, [], work)
        for name, spec in storages.SPECS.items():
            if args.only not in name:
                continue
            try:
                check_spec(report, tern, name, spec, os.path.join(work, "model.gguf"))
            except (RuntimeError, OSError, ValueError) as e:
                report.check(False, f"{name}: {e}")
        refusals.check_all(report, args.tern, os.path.join(work, "refusals"), args.only)
        shutil.rmtree(os.path.join(work, "refusals"), ignore_errors=True)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
