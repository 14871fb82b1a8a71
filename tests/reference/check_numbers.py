#!/usr/bin/python3
"""Compares tern's numbers with the float64 reference, operation by operation and end to end.

check_numbers.py TERN_BINARY MODELS_DIR [--gguf] [--only KIND ...] [--tern-args=...]
check_numbers.py --self-test [MODELS_DIR]    proves that the comparisons fail on wrong models

MODELS_DIR is what make_models.py wrote. One line a check, with the measured number; exit status 1 on any failure.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile

import numpy as np

import codecs_reference as codecs
import make_models
import reference_model as ref

RELATIVE_LIMIT = 1e-5  # ||a - b|| / ||b|| of an operation's floats
BOUNDARY_LIMIT = 1e-4  # an int8 value may be the neighbour only this close to a rounding boundary
LOGPROB_LIMIT = 1e-3  # end to end, on clean inputs
TERNARY_TYPES = ("TQ1_0", "TQ2_0", "I2_S", "IQ2_BN")
ROW_UNIT = {"TQ1_0": 256, "TQ2_0": 256, "I2_S": 128, "IQ2_BN": 64}


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, ok, what):
        self.passed, self.failed = self.passed + bool(ok), self.failed + (not ok)
        print(("ok    " if ok else "FAIL  ") + what, flush=True)
        return ok


# --- comparisons ---------------------------------------------------------------------------------------


def relative_error(got, want):
    """The worst of the whole tensor's ||got - want|| / ||want|| and of its parts by token."""
    if got.shape != want.shape or not np.all(np.isfinite(got)):
        return np.inf
    got, want = got.astype(np.float64).reshape(len(got), -1), want.reshape(len(want), -1)
    difference, size = np.linalg.norm(got - want, axis=1), np.linalg.norm(want, axis=1)
    return float(np.max(difference / np.where(size > 0, size, 1)))


def recompute(model, trace):
    """Every operation in float64 from the *traced* input of that operation: name -> float64 output."""
    c, out = model.config, {"embed": model.embed[trace["tokens"]]}
    wide = {name: x.astype(np.float64) for name, x in trace.items()}
    positions = np.arange(len(trace["tokens"]))

    def norm(x, weight):
        return ref.rms_norm(x, weight, c.eps)

    def head_norm(x, weight):
        return norm(x.reshape(-1, c.head_dim), weight).reshape(x.shape)

    def products(at, layer, group, names, source):
        x = wide[at + source]
        traced = next((layer[name].group for name in names if layer[name].ternary), None)
        if traced is not None:
            out[f"{at}{group}.q8"], out[f"{at}{group}.q8_scale"] = ref.scale_activation(x, traced)
        for name in names:
            linear = layer[name]
            if linear.ternary and linear.group == traced:
                y = linear.ternary_product(wide[f"{at}{group}.q8"], wide[f"{at}{group}.q8_scale"])
            elif linear.ternary:  # Not in the trace: as float64 rounds it, which on a clean input is as float32 does.
                y = linear.ternary_product(*ref.quantise_activation(x, linear.group)[:2])
            else:
                y = x @ linear.weight.T
            out[at + name] = y if linear.bias is None else y + linear.bias

    residual = "embed"
    for i, layer in enumerate(model.layers):
        at = f"layers.{i}."
        out[at + "attn_norm"] = norm(wide[residual], layer["attn_norm"])
        products(at, layer, "qkv", ("q", "k", "v"), "attn_norm")
        before_rope = ("q_norm", "k_norm") if c.qk_norm else ("q", "k")
        if c.qk_norm:
            out[at + "q_norm"] = head_norm(wide[at + "q"], layer["q_norm"])
            out[at + "k_norm"] = head_norm(wide[at + "k"], layer["k_norm"])
        for rotated, source in zip(("q_rope", "k_rope"), before_rope):
            out[at + rotated] = ref.rope(wide[at + source], positions, c)
        out[at + "attn"] = ref.causal_attention(wide[at + "q_rope"], wide[at + "k_rope"], wide[at + "v"], c)
        if c.sub_norms:
            out[at + "attn_sub_norm"] = norm(wide[at + "attn"], layer["attn_sub_norm"])
        products(at, layer, "o", ("o",), "attn_sub_norm" if c.sub_norms else "attn")
        out[at + "attn_residual"] = wide[residual] + wide[at + "o"]
        out[at + "ffn_norm"] = norm(wide[at + "attn_residual"], layer["ffn_norm"])
        products(at, layer, "gate_up", ("gate", "up"), "ffn_norm")
        out[at + "act"] = ref.ACTIVATIONS[c.activation](wide[at + "gate"]) * wide[at + "up"]
        if c.sub_norms:
            out[at + "ffn_sub_norm"] = norm(wide[at + "act"], layer["ffn_sub_norm"])
        products(at, layer, "down", ("down",), "ffn_sub_norm" if c.sub_norms else "act")
        residual = at + "residual"
        out[residual] = wide[at + "attn_residual"] + wide[at + "down"]
    out["output_norm"] = norm(wide[residual], model.output_norm)
    out["logits"] = wide["output_norm"] @ model.head.T
    return out


def int8_faults(got, scaled):
    """How many int8 values are neither the rounding of `scaled` nor its neighbour across a close boundary."""
    if got.shape != scaled.shape or got.dtype != np.int8:
        return got.size
    near = np.abs(scaled - np.floor(scaled) - 0.5) <= BOUNDARY_LIMIT
    other = np.where(np.rint(scaled) > scaled, np.rint(scaled) - 1, np.rint(scaled) + 1)
    right = (got == np.clip(np.rint(scaled), -128, 127)) | (near & (got == other))
    return int(np.sum(~right))


def compare_operations(model, tokens, trace):
    """(faults as text, worst relative error, its operation)."""
    expected = set(model.forward(tokens[:1]).trace)
    if set(trace) != expected:
        missing, extra = sorted(expected - set(trace)), sorted(set(trace) - expected)
        return [f"missing {missing[:4]}, not known {extra[:4]}"], np.inf, "names"
    if trace["tokens"].tolist() != list(tokens):
        return ["tokens differ"], np.inf, "tokens"
    faults, worst, worst_name = [], 0.0, ""
    for name, want in recompute(model, trace).items():
        if name.endswith(".q8"):
            count = int8_faults(trace[name], want)
            if count:
                faults.append(f"{name}: {count} of {want.size} int8 values differ")
            continue
        error = relative_error(trace[name], want)
        if error > worst:
            worst, worst_name = error, name
        if not error <= RELATIVE_LIMIT:
            faults.append(f"{name}: {error:.2e}")
    return faults, worst, worst_name


def compare_end_to_end(forward, tokens, trace, logprobs):
    """The largest difference of any log-probability: of the whole vocabulary, and of those that score prints."""
    want = ref.log_softmax(forward.trace["logits"])
    if trace["logits"].shape != want.shape or len(logprobs) != len(tokens) or logprobs[0] is not None:
        return np.inf
    printed = np.array(logprobs[1:], dtype=np.float64)
    whole = np.abs(ref.log_softmax(trace["logits"]) - want).max()
    return float(max(whole, np.abs(printed - ref.next_token_logprobs(forward.trace["logits"], tokens)).max()))


# --- running tern ----------------------------------------------------------------------------------------


class Tern:
    def __init__(self, binary, extra, work):
        self.binary, self.extra, self.work = binary, extra, work

    def run(self, *args, isa=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TERN_")}
        if isa:
            env["TERN_ISA"] = isa
        return subprocess.run([self.binary, *args], env=env, capture_output=True, text=True, timeout=300)

    def score(self, model, tokens, *args, isa=None, trace=None):
        """score's JSON (and the trace)."""
        command = ["score", model, "--tokens", ",".join(map(str, tokens)), "--json", "-ctk", "f32", "-ctv", "f32"]
        if trace:
            command += ["--trace", trace]
        done = self.run(*command, *args, *self.extra, isa=isa)
        if done.returncode != 0:
            raise RuntimeError(f"tern {' '.join(command[:2])} {' '.join(args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)


def usable_isas():
    """Instruction sets of this CPU by tern's names, for TERN_ISA."""
    with open("/proc/cpuinfo") as f:
        flags = next((set(line.split()) for line in f if line.startswith(("flags", "Features"))), set())
    needs = {"scalar": (), "avx2": ("avx2", "fma", "f16c"), "avxvnni": ("avx_vnni",),
             "avx512vnni": ("avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
             "avx512vbmi": ("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_vbmi"), "neon": ("asimddp",),
             "neon_i8mm": ("asimddp", "i8mm")}  # fmt: skip
    return [name for name, wanted in needs.items() if flags.issuperset(wanted)]


def check_model(report, tern, label, path, model, tokens):
    """(a) and (b) for one file or folder; returns (tokens, log-probabilities) for further comparisons."""
    forward = model.forward(tokens)
    if forward.margin < ref.CLEAN_MARGIN:  # the values in this file are not those that the input was chosen for
        tokens = ref.find_clean_tokens([model], len(tokens), make_models.SEED)
        if not report.check(tokens is not None, f"{label}: a clean input exists"):
            return None
        forward = model.forward(tokens)
    report.check(forward.margin >= ref.CLEAN_MARGIN, f"{label}: margin {forward.margin:.2e} is clean")
    trace_path = os.path.join(tern.work, "trace.safetensors")
    scored = tern.score(path, tokens, trace=trace_path)
    trace = ref.read_safetensors(trace_path)
    os.remove(trace_path)
    faults, worst, where = compare_operations(model, tokens, trace)
    report.check(not faults, f"{label}: operations, worst {worst:.2e} at {where}" + "".join(f"; {x}" for x in faults[:6]))
    difference = compare_end_to_end(forward, tokens, trace, scored["logprobs"])
    report.check(difference <= LOGPROB_LIMIT and scored["tokens"] == list(tokens),
                 f"{label}: log-probabilities within {difference:.2e}")  # fmt: skip
    return tokens, scored["logprobs"]


def check_same_bits(report, tern, label, path, tokens, logprobs):
    """(d): instruction sets, threads and batch splits change no bit."""
    variants = [(isa, ()) for isa in usable_isas()]
    variants += [(None, ("-t", str(n))) for n in (1, 2, 3)] + [(None, ("-b", str(n))) for n in (1, 7, 48)]
    variants += [("scalar", ("-t", "3", "-b", "7"))]
    different = []
    for isa, args in variants:
        if tern.score(path, tokens, *args, isa=isa)["logprobs"] != logprobs:
            different.append(" ".join([f"TERN_ISA={isa}" if isa else "", *args]).strip())
    report.check(not different, f"{label}: equal bits in {len(variants)} variants" + "".join(f"; not {d}" for d in different))


# --- conversions -----------------------------------------------------------------------------------------


def scale_matches(got, want, exact_in_folder):
    """A scale that the folder states is kept bit for bit; one that had to be averaged may differ in the last place."""
    return got == want if exact_in_folder else abs(got - want) <= abs(want) * 2.0**-22


def compare_values(model, held, gguf, kind, asked):
    """What a GGUF holds against the folder: list of faults, and whether a scale was rounded or a type replaced."""
    faults, rounded, replaced = [], False, False
    for i, (layer, layer_held) in enumerate(zip(model.layers, held.layers)):
        for name, gguf_name in codecs.GGUF_PROJECTIONS.items():
            tensor, want, got = f"blk.{i}.{gguf_name}", layer[name], layer_held[name]
            type_name, shape, _ = gguf.tensors[tensor + ".weight"]
            fits = shape[-1] % ROW_UNIT[asked] == 0
            replaced |= not fits
            if type_name != (asked if fits else "F16"):
                faults.append(f"{tensor} is {type_name}")
            if not got.ternary or not np.array_equal(got.digits, want.digits):
                faults.append(f"{tensor}: digits differ")
                continue
            scale = want.scale
            if tensor + ".scale" not in gguf.tensors and type_name in ("TQ1_0", "TQ2_0", "F16"):
                scale = np.float32(np.float16(scale))
                rounded |= scale != want.scale
            if not scale_matches(got.scale, scale, kind.storage != "latent"):
                faults.append(f"{tensor}: scale {got.scale!r}, expected {scale!r}")
        for name in layer:
            if name.endswith("norm") and not np.array_equal(layer[name], layer_held[name]):
                faults.append(f"blk.{i}.{name} differs")
    return faults, rounded, replaced


def compare_rest(model, held, embedding_type):
    faults = []
    a, b = model.config, held.config
    for name in ("architecture", "hidden", "ffn", "layers", "heads", "kv_heads", "head_dim", "vocab", "activation", "tied"):
        if getattr(a, name) != getattr(b, name):
            faults.append(f"{name} {getattr(b, name)!r}, expected {getattr(a, name)!r}")
    if np.float32(a.eps) != np.float32(b.eps):
        faults.append(f"eps {b.eps}")
    frequencies = ref.inverse_frequencies(a)
    if np.abs(ref.inverse_frequencies(b) / frequencies - 1).max() > 1e-6:
        faults.append("RoPE frequencies differ")
    if not np.array_equal(model.output_norm, held.output_norm):
        faults.append("output_norm differs")
    for name in ("embed", "head"):
        want, got = getattr(model, name), getattr(held, name)
        if embedding_type in ("f16", "f32"):
            rounding = np.float16 if embedding_type == "f16" else np.float32
            bad = not np.array_equal(want.astype(rounding).astype(np.float64), got)
        else:  # a step of Q8_0 is 1/127 of the largest of 32, one of Q6_K about 1/32 of the largest of 16
            bad = np.abs(want - got).max() > np.abs(want).max() * {"q8_0": 0.005, "q6_k": 0.03}[embedding_type]
        if bad:
            faults.append(f"{name} differs, by {np.abs(want - got).max():.2e}")
    return faults


def check_conversion(report, tern, label, folder, kind, tokens, asked, embedding_type="f16"):
    """(c) and (e) for one folder and one ternary type."""
    label = f"{label} {asked} {embedding_type}"
    path, back = os.path.join(tern.work, "model.gguf"), os.path.join(tern.work, "back")
    remove_tree(back)
    done = tern.run("convert", folder, path, "--type", asked, "--embedding-type", embedding_type)
    if not report.check(done.returncode == 0, f"{label}: convert" + (f": {done.stderr.strip()}" if done.returncode else "")):
        return
    model, held, gguf = ref.load_folder(folder), codecs.load_gguf(path), codecs.Gguf(path)
    faults, rounded, replaced = compare_values(model, held, gguf, kind, asked)
    faults += compare_rest(model, held, embedding_type)
    if rounded and "scale" not in done.stderr:
        faults.append("scales were rounded and nothing said so")
    if replaced and "F16" not in done.stderr:
        faults.append("matrices were stored as F16 and nothing said so")
    report.check(not faults, f"{label}: values in the file" + "".join(f"; {f}" for f in faults[:6]))
    result = check_model(report, tern, label, path, held, tokens)
    if result is None:
        return
    tokens, logprobs = result
    done = tern.run("convert", path, back)
    if not report.check(done.returncode == 0, f"{label}: back to a folder {done.stderr.strip() if done.returncode else ''}"):
        return
    returned = ref.load_folder(back)
    different = [f"layers.{i}.{name}" for i in range(model.config.layers) for name in ref.PROJECTIONS
                 if not np.array_equal(returned.layers[i][name].digits, held.layers[i][name].digits)
                 or returned.layers[i][name].scale != held.layers[i][name].scale]  # fmt: skip
    report.check(not different, f"{label}: digits and scales came back" + "".join(f"; not {d}" for d in different[:4]))
    after = tern.score(back, tokens)["logprobs"]
    apart = max(abs(a - b) for a, b in zip(after[1:], logprobs[1:]))
    report.check(apart <= RELATIVE_LIMIT, f"{label}: score after the way back within {apart:.2e}")


def check_dense_conversion(report, tern, label, folder, tokens, asked):
    """A full-precision folder as a GGUF of F16 (every matrix rounded) or F32 (nothing changed)."""
    label = f"{label} {asked}"
    path = os.path.join(tern.work, "model.gguf")
    done = tern.run("convert", folder, path, "--type", asked, "--embedding-type", asked)
    if not report.check(done.returncode == 0, f"{label}: convert" + (f": {done.stderr.strip()}" if done.returncode else "")):
        return
    model, held = ref.load_folder(folder), codecs.load_gguf(path)
    rounding = np.float16 if asked == "F16" else np.float32
    faults = compare_rest(model, held, asked.lower())
    for i, (layer, layer_held) in enumerate(zip(model.layers, held.layers)):
        for name, want in layer.items():
            got = layer_held[name]
            if name in ref.PROJECTIONS:
                same = np.array_equal(want.weight.astype(rounding), got.weight)
                same &= (want.bias is None) == (got.bias is None)
                same &= want.bias is None or np.array_equal(want.bias, got.bias)
            else:
                same = np.array_equal(want, got)
            faults += [] if same else [f"blk.{i}: {name} differs"]
    report.check(not faults, f"{label}: values in the file" + "".join(f"; {f}" for f in faults[:6]))
    check_model(report, tern, label, path, held, tokens)


def types_of(quantization):
    """Types that hold a declared kind; (asked, as inspect names it, whether the scales are f16)."""
    tensor = [("I2_S", "I2_S", False), ("IQ2_BN", "IQ2_BN", False), ("TQ1_0", "TQ1_0", True), (None, "TQ2_0", True)]
    if quantization["scale"] == "tensor":
        return tensor
    if quantization["scale"] == "row":
        return tensor[1:] + [("Q2_0", "Q2_0(64)", True)]
    size = quantization["group_size"]
    return tensor[2:] if size % 256 == 0 else [(None, f"Q2_0({size})", True)]


def check_trained_conversion(report, tern, label, folder, kind, tokens):
    """A folder of quant_method "tern": what its GGUFs compute, what refuses it, and the way back."""
    quantization, path = kind.config["quantization_config"], os.path.join(tern.work, "model.gguf")
    for asked, type_name, rounds in types_of(quantization):
        at = f"{label} {type_name}"
        done = tern.run("convert", folder, path, "--embedding-type", "f16", *(["--type", asked] if asked else []))
        if not report.check(done.returncode == 0, f"{at}: convert {done.stderr.strip() if done.returncode else ''}"):
            continue
        inspected = json.loads(tern.run("inspect", path, "--json").stdout)
        report.check(type_name in inspected["types"], f"{at}: is {', '.join(inspected['types'])}")
        report.check(inspected["config"]["activation_rule"] == "int8 per token", f"{at}: int8 per token")
        # bitnet's one scale stands in a float32 tensor of its own.
        apart = quantization["scale"] == "tensor" and kind.architecture == "BitnetForCausalLM"
        model = ref.load_folder(folder)
        held = make_models.with_f16_scales(model) if rounds and not apart else model
        result = check_model(report, tern, at, path, held, tokens)
        back = os.path.join(tern.work, "back")
        remove_tree(back)
        done = tern.run("convert", path, back)
        if quantization["scale"] == "group":
            report.check(done.returncode == 1 and "one scale for every" in done.stderr and not os.path.exists(back),
                         f"{at}: a folder cannot hold it")  # fmt: skip
            continue
        if not report.check(done.returncode == 0 and result is not None, f"{at}: back to a folder {done.stderr.strip()}"):
            continue
        returned = ref.load_folder(back)
        same = all(np.array_equal(a[n].digits, b[n].digits) and np.allclose(a[n].scale, b[n].scale, rtol=2.0**-22)
                   for a, b in zip(held.layers, returned.layers) for n in ref.PROJECTIONS)  # fmt: skip
        report.check(same, f"{at}: digits and scales came back")
        after = tern.score(back, result[0])["logprobs"]
        apart = max(abs(a - b) for a, b in zip(after[1:], result[1][1:]))
        report.check(apart <= RELATIVE_LIMIT, f"{at}: score after the way back within {apart:.2e}")
    if quantization["scale"] != "tensor":
        for asked in ("F16", "I2_S"):
            none = os.path.join(tern.work, "none.gguf")
            done = tern.run("convert", folder, none, "--type", asked)
            report.check(done.returncode == 1 and asked in done.stderr and not os.path.exists(none),
                         f"{label}: {asked} cannot hold it")  # fmt: skip


def check_declared_float(report, tern, label, folder, tokens):
    """weights "fp": a GGUF and a folder made of it compute the same bits as the folder, in b1.58's architectures too."""
    path, back = os.path.join(tern.work, "model.gguf"), os.path.join(tern.work, "back")
    remove_tree(back)
    for source, out, more in ((folder, path, ("--embedding-type", "f32")), (path, back, ())):
        done = tern.run("convert", source, out, *more)
        report.check(done.returncode == 0, f"{label}: convert to {os.path.basename(out)} {done.stderr.strip()}")
    report.check(codecs.Gguf(path).keys.get("tern.activations") == "float", f"{label}: tern.activations is float")
    scores = [tern.score(p, tokens)["logprobs"] for p in (folder, path, back)]
    report.check(scores[0] == scores[1] == scores[2], f"{label}: equal bits as a GGUF and as a folder of it")
    done = tern.run("convert", folder, path, "--type", "TQ2_0")
    report.check(done.returncode == 1 and "TQ2_0" in done.stderr, f"{label}: TQ2_0 is refused")


def remove_tree(folder):
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        os.remove(os.path.join(folder, name))
    if os.path.isdir(folder):
        os.rmdir(folder)


def check_all(report, tern, models_dir, kinds, with_gguf):
    for name in kinds:
        folder, kind = os.path.join(models_dir, name), make_models.KINDS[name]
        with open(os.path.join(folder, "inputs.json")) as f:
            tokens = json.load(f)["tokens"]
        try:
            result = check_model(report, tern, name, folder, ref.load_folder(folder), tokens)
            if result:
                check_same_bits(report, tern, name, folder, *result)
        except (RuntimeError, OSError, ValueError) as e:
            report.check(False, f"{name}: {e}")
        if not with_gguf:
            continue
        declared = kind.config.get("quantization_config", {}).get("quant_method") == "tern"
        if declared:
            check = check_declared_float if kind.storage == "dense" else check_trained_conversion
            check(report, tern, name, folder, *([] if kind.storage == "dense" else [kind]), tokens)
        if kind.storage == "trained":
            continue
        jobs = [(t, "f16") for t in TERNARY_TYPES]
        if name == "bitnet2b4t_packed":
            jobs += [("TQ2_0", "q8_0"), ("TQ2_0", "q6_k")]
        if kind.storage == "dense":
            jobs = [("F16", None), ("F32", None)]
        for asked, embedding_type in jobs:
            try:
                if kind.storage == "dense":
                    check_dense_conversion(report, tern, name, folder, tokens, asked)
                else:
                    check_conversion(report, tern, name, folder, kind, tokens, asked, embedding_type)
            except (RuntimeError, OSError, ValueError, AssertionError, KeyError) as e:
                report.check(False, f"{name} {asked}: {type(e).__name__}: {e}")
    refused = tern.run("cpu", isa="no-such-isa").returncode == 1
    report.check(refused, f"TERN_ISA is read (a wrong one is refused); used here: {' '.join(usable_isas())}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tern", nargs="?", metavar="TERN_BINARY")
    parser.add_argument("models", nargs="?", metavar="MODELS_DIR")
    parser.add_argument("--gguf", action="store_true", help="convert every folder to every type and check those too")
    parser.add_argument("--only", nargs="+", choices=make_models.KINDS, metavar="KIND")
    parser.add_argument("--tern-args", default="", help="further arguments of every tern score")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        if args.self_test:
            import self_test

            self_test.run(report, args.tern, work)
        elif args.models is None:
            parser.error("TERN_BINARY and MODELS_DIR are needed")
        else:
            tern = Tern(args.tern, shlex.split(args.tern_args), work)
            check_all(report, tern, args.models, args.only or make_models.KINDS, args.gguf)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
