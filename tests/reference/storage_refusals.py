"""Broken GGUF files and folders, and what tern must say of each: exit 1, one sentence on stderr, nothing left behind.

GGUF_CASES and FOLDER_CASES are the tables: name, what breaks the good file, words that the sentence must hold beside
the file's name. `check_all` runs every case through every command that reads such a file.
"""

import copy
import json
import math
import os
import resource
import shutil
import struct
import subprocess

import numpy as np

import make_models
import reference_model as ref
import storage_models as storages
from storage_models import ARRAY, F32_KEY, STRING, U32

SECONDS = 2  # of CPU time; a wall limit of ten times that, for a machine that is busy
HUGE = 2**63
DOWN = "blk.0.ffn_down.weight"
SMALL = dict(hidden=256, ffn=256, layers=1, vocab=320, heads=4, kv_heads=2, head_dim=64)
NAN16, INF16 = struct.pack("<e", math.nan), struct.pack("<e", math.inf)
NAN32, INF32 = struct.pack("<f", math.nan), struct.pack("<f", -math.inf)


# Sentences that may come before the refusal: what was noticed by then.
NOTICES = ("I2_S weights are read in the x86", "weight scales were rounded", "no tokenizer was found",
           "written as F16 holding exactly")  # fmt: skip
# What was expected, in these words or these: that a file has more, that a name is one that tern knows.
EXPECTATIONS = ("expected", "but the", "but only", "but another", "left hold", "do not fit", "which ends", "before its",
                "more elements than", "not finite",
                "stands twice", "convert the original", "has none of that name", "tern knows", "tern reads",
                "outside the vocabulary", "is missing", "cannot open", "has no piece", "is no piece")  # fmt: skip


# --- a good file, and faults ---------------------------------------------------------------------------------------


def byte_pieces(count):
    """GPT-2's letters for the 256 bytes (printable ones stand for themselves, the others from U+0100 on), and more."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = printable + [256 + i for i in range(256 - len(printable))]
    return [chr(c) for c in letters] + ["AB"] + [f"piece {i}" for i in range(257, count)]


def good_file(storage="TQ2_0", architecture="llama", embedding="dense F16"):
    spec = storages.Spec(architecture, storage, embedding=embedding, **SMALL)
    file, _ = storages.build(spec, 7)
    file.keys["tokenizer.ggml.model"] = (STRING, "gpt2")
    file.keys["tokenizer.ggml.pre"] = (STRING, "llama-bpe")
    file.keys["tokenizer.ggml.tokens"] = (ARRAY, (STRING, byte_pieces(319) + ["</s>"]))
    file.keys["tokenizer.ggml.merges"] = (ARRAY, (STRING, ["A B"]))
    file.keys["tokenizer.ggml.eos_token_id"] = (U32, 319)
    return file


def key(name, kind, value):
    return lambda file: file.keys.__setitem__(name, (kind, value))


def no_key(name):
    return lambda file: file.keys.pop(name)


def header(**values):
    return lambda file: file.__dict__.update(values)


def length(text, value=HUGE):
    return lambda file: file.lengths.__setitem__(text, value)


def tensor(name, **values):
    return lambda file: file.tensor(name).__dict__.update(values)


def poke(name, at, data):
    def change(file):
        t = file.tensor(name)
        where = at if at >= 0 else len(t.data) + at
        t.data = t.data[:where] + data + t.data[where + len(data) :]

    return change


def overlap(file):
    file.tensor(DOWN).offset = file_offset(file, "blk.0.ffn_up.weight") + 64


def misaligned(file):
    file.tensor(DOWN).offset = file_offset(file, DOWN) + 8


def file_offset(file, name):
    offset = 0
    for t in file.tensors:
        if t.name == name:
            return offset
        offset += len(t.data) + -len(t.data) % storages.ALIGNMENT
    raise KeyError(name)


def extra(name):
    return lambda file: file.tensors.append(storages.Tensor(name, [256], 0, bytes(1024)))


def twice(file):
    file.tensors.append(copy.deepcopy(file.tensor(DOWN)))


def longer_embedding(file):
    """A row more than the keys and the vocabulary say."""
    t = file.tensor("token_embd.weight")
    t.dims, t.data = [256, 321], t.data + bytes(512)


# --- GGUF: (name, good file's arguments, fault, words, further arguments of tern) ----------------------------------


def code_cases():
    """A code 3 in row 2 of a 256 x 256 matrix, in each type that can hold one."""
    row = {"TQ2_0": 2 * 66, "Q2_0/64": 2 * 72 + 2, "Q2_0/128": 2 * 68 + 2, "I2_S/x86": 128, "I2_S/arm": 128,
           "IQ2_BN": 2 * 68 + 4, "IQ2_BN_R4": 16 + 8}  # fmt: skip
    for storage, at in row.items():
        yield f"code 3 in {storage}", [storage], poke(DOWN, at, b"\x03" if "I2_S" not in storage else b"\xc0"), \
            [DOWN, "row 2", "3"], i2s(storage)  # fmt: skip
    yield "code 3 in I2_S/1x4", ["I2_S/1x4"], poke(DOWN, 5, b"\x0c"), [DOWN, "row 2", "3"], i2s("I2_S/1x4")


def scale_cases():
    """NaN and infinite scales: (bytes into the tensor, size of the number), never in the first block."""
    places = {"TQ2_0": (66 + 64, 2), "TQ1_0": (54 + 52, 2), "Q2_0/64": (18, 2), "Q2_0/128": (34, 2),
              "IQ1_BN": (2 + 52, 2), "IQ2_BN": (68, 4), "IQ2_BN_R4": (8, 4), "I2_S/x86": (256 * 64, 4),
              "I2_S/arm": (256 * 64, 4), "I2_S/1x4": (256 * 64, 4), "F16": (258, 2), "F32": (1028, 4)}  # fmt: skip
    for storage, (at, size) in places.items():
        for what, data in (("NaN", NAN16 if size == 2 else NAN32), ("infinite", INF16 if size == 2 else INF32)):
            yield f"{what} scale in {storage}", [storage], poke(DOWN, at, data), [DOWN], i2s(storage)
    for kind, at in {"Q8_0": 34, "Q4_0": 18, "Q6_K": 210 + 208, "dense F16": 512, "dense F32": 1024}.items():
        for what, data in (("NaN", NAN16), ("infinite", INF16)):
            data = {NAN16: NAN32, INF16: INF32}[data] if kind == "dense F32" else data
            yield f"{what} in a {kind} embedding", ["TQ2_0", "llama", kind], poke("token_embd.weight", at, data), \
                ["token_embd.weight"], []  # fmt: skip


def i2s(storage):
    layout = storage.partition("/")[2]
    return ["--i2s", layout] if storage.startswith("I2_S") else []


def in_llama(cases):
    return [(name, ["TQ2_0"], fault, words, []) for name, fault, words in cases]


GGUF_CASES = [
    *in_llama([
        ("not a GGUF", header(magic=b"GGML"), ["GGUF"]),
        ("version 1", header(version=1), ["version", "1"]),
        ("version 4", header(version=4), ["version", "4"]),
        ("big-endian", header(big_endian=True), ["big-endian"]),
        ("2^63 tensors", header(tensor_count=HUGE), ["tensor", str(HUGE)]),
        ("2^63 keys", header(key_count=HUGE), [str(HUGE)]),
        ("a tensor more than there is", lambda f: f.__dict__.update(tensor_count=len(f.tensors) + 1), ["tensor"]),
        ("a key more than there is", lambda f: f.__dict__.update(key_count=len(f.keys) + 1), []),
        ("key name of 2^63 bytes", length("llama.block_count"), [str(HUGE)]),
        ("string of 2^63 bytes", length("storage test"), [str(HUGE)]),
        ("tensor name of 2^63 bytes", length(DOWN), [str(HUGE)]),
        ("array of 2^63 strings", length("array tokenizer.ggml.tokens"), [str(HUGE)]),
        ("string of 2^64 - 1 bytes", length("storage test", 2**64 - 1), [str(2**64 - 1)]),
        ("array of unknown values", key("llama.foo", ARRAY, (77, [])), ["77"]),
        ("a dimension of 2^63", tensor(DOWN, dims=[256, HUGE]), [DOWN]),
        ("a dimension of 0", tensor(DOWN, dims=[256, 0]), [DOWN, "0"]),
        ("five dimensions", tensor(DOWN, dims=[256, 256, 1, 1, 1]), [DOWN, "5"]),
        ("40 dimensions", tensor(DOWN, dims=[256] * 40), [DOWN, "40"]),
        ("overlapping tensors", overlap, ["blk.0.ffn_up.weight", "another tensor"]),
        ("offset outside the file", tensor(DOWN, offset=1 << 40), [DOWN, str(1 << 40)]),
        ("offset of 2^64 - 32", tensor(DOWN, offset=2**64 - 32), [DOWN]),
        ("misaligned offset", misaligned, [DOWN, "32"]),
        ("alignment 3", key("general.alignment", U32, 3), ["alignment", "3"]),
        ("a tensor twice", twice, [DOWN]),
        ("rows that fit no block", tensor(DOWN, dims=[255, 256]), [DOWN, "255"]),
        ("wrong shape", tensor(DOWN, dims=[256, 128]), [DOWN, "128", "256"]),
        ("wrong shape of a norm", tensor("output_norm.weight", dims=[128]), ["output_norm.weight", "128", "256"]),
        ("unknown type id", tensor(DOWN, type_id=99), [DOWN, "99"]),
        ("type TL1", tensor(DOWN, type_id=38), [DOWN, "TL1"]),
        ("type TL2", tensor(DOWN, type_id=39), [DOWN, "TL2"]),
        ("type 42 that is TL2", tensor(DOWN, type_id=42), [DOWN, "42"]),
        ("a type of integers", tensor(DOWN, type_id=26, data=bytes(256 * 256 * 4)), [DOWN, "I32"]),
        ("a norm in a ternary type", tensor("output_norm.weight", type_id=35, data=bytes(66)), ["output_norm.weight", "TQ2_0"]),
        ("unknown architecture", key("general.architecture", STRING, "mamba"), ["mamba"]),
        ("no architecture", no_key("general.architecture"), ["general.architecture"]),
        ("architecture is a number", key("general.architecture", U32, 1), ["general.architecture"]),
        ("missing tensor", lambda f: f.drop("blk.0.ffn_up.weight"), ["blk.0.ffn_up.weight"]),
        ("missing norm", lambda f: f.drop("blk.0.ffn_norm.weight"), ["blk.0.ffn_norm.weight"]),
        ("unknown tensor", extra("blk.0.surprise.weight"), ["blk.0.surprise.weight"]),
        ("a tensor of a layer too many", extra("blk.1.attn_norm.weight"), ["blk.1.attn_norm.weight"]),
        ("one sub-norm of two in llama", extra("blk.0.attn_sub_norm.weight"), ["blk.0.ffn_sub_norm.weight", "missing"]),
        ("the other one", extra("blk.0.ffn_sub_norm.weight"), ["blk.0.ffn_sub_norm.weight"]),
        ("a .scale tensor in llama", extra("blk.0.attn_q.scale"), ["blk.0.attn_q.scale"]),
        ("NaN in a norm", poke("output_norm.weight", 40, NAN32), ["output_norm.weight", "nan"]),
        ("vocab_size and embedding", key("llama.vocab_size", U32, 321), ["token_embd.weight", "320", "321"]),
        ("embedding with a row more", longer_embedding, ["token_embd.weight", "320", "321"]),
        ("heads 0", key("llama.attention.head_count", U32, 0), ["head"]),
        ("heads no multiple of KV heads", key("llama.attention.head_count_kv", U32, 3), ["3", "4"]),
        ("hidden size no multiple of heads", lambda f: (no_key("llama.attention.key_length")(f), key("llama.attention.head_count", U32, 3)(f)), ["256", "3"]),
        ("rope.dimension_count", key("llama.rope.dimension_count", U32, 32), ["rope.dimension_count", "32", "64"]),
        ("rope scaling yarn", key("llama.rope.scaling.type", STRING, "yarn"), ["yarn"]),
        ("value length", key("llama.attention.value_length", U32, 32), ["value_length", "32", "64"]),
        ("epsilon NaN", key("llama.attention.layer_norm_rms_epsilon", F32_KEY, math.nan), ["layer_norm_rms_epsilon"]),
        ("no epsilon", no_key("llama.attention.layer_norm_rms_epsilon"), ["layer_norm_rms_epsilon"]),
        ("RoPE base of 0", key("llama.rope.freq_base", F32_KEY, 0.0), ["0"]),
        ("2^32 - 1 layers", key("llama.block_count", U32, 2**32 - 1), [str(2**32 - 1)]),
        ("no layers", key("llama.block_count", U32, 0), ["0"]),
        ("experts", key("llama.expert_count", U32, 8), ["expert_count", "8"]),
        ("RoPE factors too few", extra("rope_freqs.weight"), ["RoPE", "256", "64"]),
    ]),
    ("bitnet without sub-norms", ["TQ2_0", "bitnet"], lambda f: f.drop("blk.0.ffn_sub_norm.weight"), ["blk.0.ffn_sub_norm.weight"], []),
    ("qwen3 without q norm", ["TQ2_0", "qwen3"], lambda f: f.drop("blk.0.attn_q_norm.weight"), ["blk.0.attn_q_norm.weight"], []),
    ("a .scale of two numbers", ["TQ2_0", "bitnet"], extra("blk.0.attn_q.scale"), ["blk.0.attn_q.scale", "256"], []),
    ("NaN in latent weights of a bitnet", ["F16", "bitnet"], poke(DOWN, 258, NAN16), [DOWN], []),
    *code_cases(),
    *scale_cases(),
]  # fmt: skip

# Only what reads text needs the tokenizer.
TOKENIZER_CASES = in_llama([
    ("unknown pre-tokenizer", key("tokenizer.ggml.pre", STRING, "nobody"), ["nobody"]),
    ("unknown tokenizer model", key("tokenizer.ggml.model", STRING, "bert"), ["bert"]),
    ("a byte without a piece", key("tokenizer.ggml.tokens", ARRAY, (STRING, ["zz"] + byte_pieces(320)[1:])), ["byte 33"]),
    ("a merge of no piece", key("tokenizer.ggml.merges", ARRAY, (STRING, ["A C"])), ["'AC'"]),
    ("EOS outside the vocabulary", key("tokenizer.ggml.eos_token_id", U32, 320), ["320"]),
    ("no tokens", no_key("tokenizer.ggml.tokens"), ["tokenizer.ggml.tokens"]),
])  # fmt: skip


# `tokenize` alone is content with it: a GGUF of a vocabulary has no embedding.
VOCABULARY_CASES = in_llama([
    ("more pieces than the embedding", key("tokenizer.ggml.tokens", ARRAY, (STRING, byte_pieces(321))), ["321", "320"]),
])  # fmt: skip


# --- folders: (name, fault in config and tensors, or in the written folder, words) -----------------------------------

Q_PROJ = "model.layers.0.self_attn.q_proj.weight"
KIND = make_models.Kind("LlamaForCausalLM", "packed", "BF16", config=make_models.INVERSE, hidden=64, ffn=96, vocab=64,
                        layers=1)  # fmt: skip


def config(**values):
    return lambda c, t: c.update(values)


def scale_is(value):
    return lambda c, t: t.__setitem__(Q_PROJ + "_scale", ("F32", np.array([value], np.float32)))


def autobitlinear(fault):
    def change(c, t):
        c.update(copy.deepcopy(make_models.OFFLINE))
        fault(c, t)

    return change


def rewrite(change):
    """Breaks model.safetensors as bytes."""

    def apply(folder):
        path = os.path.join(folder, "model.safetensors")
        with open(path, "rb") as f:
            blob = f.read()
        with open(path, "wb") as f:
            f.write(change(blob))

    return apply


def write_text(name, text):
    def apply(folder):
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)

    return apply


def missing_shard(folder):
    os.rename(os.path.join(folder, "model.safetensors"), os.path.join(folder, "model-00001-of-00002.safetensors"))
    index = {"weight_map": {Q_PROJ: "model-00001-of-00002.safetensors", "model.norm.weight": "model-00002-of-00002.safetensors"}}
    write_text("model.safetensors.index.json", json.dumps(index))(folder)


def header_length(blob):
    return int.from_bytes(blob[:8], "little")


def float8(blob):
    size = header_length(blob)
    text = blob[8 : 8 + size].rstrip().replace(b'"U8"', b'"F8_E4M3"', 1)
    return len(text).to_bytes(8, "little") + text + blob[8 + size :]


def one_row_more(c, t):
    dtype, packed = t[Q_PROJ]
    t[Q_PROJ] = (dtype, np.vstack([packed, packed[:1]]))


FOLDER_CASES = [
    ("unknown hidden_act", config(hidden_act="gelu_new"), ["gelu_new"]),
    ("unknown class", config(architectures=["MambaForCausalLM"]), ["MambaForCausalLM"]),
    ("no weight_scale", lambda c, t: t.pop(Q_PROJ + "_scale"), [Q_PROJ]),
    ("weight_scale 0", scale_is(0), [Q_PROJ, "weight_scale", "0"]),
    ("weight_scale NaN", scale_is(math.nan), [Q_PROJ + "_scale", "nan"]),
    ("weight_scale infinite", scale_is(math.inf), [Q_PROJ + "_scale", "inf"]),
    ("weight_scale of 1e-40", scale_is(1e-40), [Q_PROJ, "weight_scale"]),
    ("weight_scale NaN that multiplies", autobitlinear(scale_is(math.nan)), [Q_PROJ + "_scale", "nan"]),
    ("two scales", lambda c, t: t.__setitem__(Q_PROJ + "_scale", ("F32", np.ones(2))), [Q_PROJ, "weight_scale", "2"]),
    ("packed code 3", lambda c, t: t[Q_PROJ][1].__setitem__((2, 5), 0x03), [Q_PROJ, "row 2", "3"]),
    ("packed shape", one_row_more, [Q_PROJ, "17"]),
    ("quant_method gptq", config(quantization_config={"quant_method": "gptq"}), ["gptq"]),
    ("unknown linear_class", config(quantization_config={"quant_method": "bitnet", "linear_class": "x"}), ["linear_class"]),
    ("unknown rope_type", config(rope_scaling={"rope_type": "longrope", "factor": 2.0}), ["longrope"]),
    ("vocab_size", config(vocab_size=65), ["model.embed_tokens.weight", "64", "65"]),
    ("hidden_size", config(hidden_size=128), ["64", "128"]),
    ("heads no multiple of KV heads", config(num_key_value_heads=3), ["3", "4"]),
    ("head count 3", config(num_attention_heads=3), ["3"]),
    ("layers -1", config(num_hidden_layers=-1), ["num_hidden_layers"]),
    ("a layer more", config(num_hidden_layers=2), ["model.layers.1."]),
    ("missing tensor", lambda c, t: t.pop("model.norm.weight"), ["model.norm.weight"]),
    ("unknown tensor", lambda c, t: t.__setitem__("model.surprise", ("F32", np.ones(4))), ["model.surprise"]),
    ("NaN in a norm", lambda c, t: t.__setitem__("model.norm.weight", ("F32", np.full(64, np.nan))), ["model.norm.weight", "nan"]),
]  # fmt: skip
WRITTEN_CASES = [
    ("no config.json", lambda f: os.remove(os.path.join(f, "config.json")), ["config.json"]),
    ("broken config.json", write_text("config.json", '{"architectures": ["LlamaForCausalLM"'), ["config.json"]),
    ("config.json is a list", write_text("config.json", "[]"), ["config.json"]),
    ("no weights", lambda f: os.remove(os.path.join(f, "model.safetensors")), ["safetensors"]),
    ("missing shard", missing_shard, ["model-00002-of-00002.safetensors"]),
    ("empty safetensors", rewrite(lambda b: b""), ["model.safetensors"]),
    ("safetensors of 7 bytes", rewrite(lambda b: b[:7]), ["model.safetensors", "7"]),
    ("safetensors cut in the header", rewrite(lambda b: b[:300]), ["model.safetensors"]),
    ("safetensors without data", rewrite(lambda b: b[: 8 + header_length(b)]), ["model.safetensors"]),
    ("safetensors cut by a byte", rewrite(lambda b: b[:-1]), ["model.safetensors"]),
    ("header length 2^63", rewrite(lambda b: HUGE.to_bytes(8, "little") + b[8:]), ["model.safetensors", str(HUGE)]),
    ("header length 2^64 - 1", rewrite(lambda b: b"\xff" * 8 + b[8:]), ["model.safetensors", str(2**64 - 1)]),
    ("dtype F8", rewrite(float8), ["F8_E4M3"]),
]


# --- running ---------------------------------------------------------------------------------------------------


def limit_cpu():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Refuser:
    def __init__(self, report, binary, work):
        self.report, self.binary, self.work = report, binary, work
        self.out = os.path.join(work, "out")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TERN_")}

    def faults(self, command, path, words):
        """What is wrong with how `command` refuses, as text; empty if nothing is."""
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        try:
            done = subprocess.run([self.binary, *command], env=self.environment, capture_output=True, text=True,
                                  errors="replace", timeout=10 * SECONDS, preexec_fn=limit_cpu)  # fmt: skip
        except subprocess.TimeoutExpired:
            return [f"{command[0]} hangs"]
        said = [line for line in done.stderr.split("\n") if line and not any(notice in line for notice in NOTICES)]
        faults = [] if done.returncode == 1 else [f"{command[0]} exits {done.returncode}"]
        if len(said) != 1 or not said[0].startswith("tern: "):
            faults.append(f"{command[0]} says {len(said)} lines: {done.stderr[:300]!r}")
        else:
            lacking = [word for word in [path, *words] if word not in said[0]]
            faults += [f"'{said[0]}' lacks {lacking}"] if lacking else []
            if not any(word in said[0] for word in EXPECTATIONS):
                faults.append(f"'{said[0]}' does not say what was expected")
        left = [os.path.join(at, name) for at, _, names in os.walk(self.out) for name in names]
        if left or os.path.exists(os.path.join(self.out, "folder")):
            faults.append(f"{command[0]} left {left}")
        if done.stdout:
            faults.append(f"{command[0]} prints {done.stdout[:80]!r}")
        return faults

    def check(self, what, commands, path, words):
        faults = [fault for command in commands for fault in self.faults(command, path, words)]
        self.report.check(not faults, f"refused: {what}" + "".join(f"; {f}" for f in faults))

    def weights_commands(self, path, arguments=()):
        trace, gguf = os.path.join(self.out, "trace.safetensors"), os.path.join(self.out, "out.gguf")
        return [["score", path, "--tokens", "1,2,3", "--json", "--trace", trace, *arguments],
                ["convert", path, gguf, "--type", "TQ2_0", *arguments]]  # fmt: skip

    def text_commands(self, path):
        return [["tokenize", path, "-p", "AB", "--json"], ["score", path, "-p", "AB", "--json"]]


def check_truncations(refuser, work):
    """At the end of every field of the header, and one byte into the next."""
    path = os.path.join(work, "cut.gguf")
    file = good_file()
    file.keys["tokenizer.ggml.tokens"] = (ARRAY, (STRING, ["a", "b"]))  # All fields, in fewer cuts.
    ends = file.write(path)
    with open(path, "rb") as f:
        blob = f.read()
    faults, cuts = [], sorted({0, *ends, *(end + 1 for end in ends)})
    for cut in [*cuts, len(blob) - 64]:
        with open(path, "wb") as f:
            f.write(blob[:cut])
        command = refuser.weights_commands(path)[0]
        faults += [f"at {cut}: {fault}" for fault in refuser.faults(command, path, [])]
    refuser.report.check(not faults, f"refused: a GGUF cut at each of {len(cuts) + 1} places" + "".join(f"; {x}" for x in faults[:8]))


def check_gguf(refuser, work, only):
    path, goods = os.path.join(work, "broken.gguf"), {}
    tables = ((GGUF_CASES, None), (TOKENIZER_CASES, refuser.text_commands),
              (VOCABULARY_CASES, lambda path: refuser.text_commands(path)[1:]))  # fmt: skip
    for cases, commands in tables:
        for name, arguments, fault, words, options in cases:
            if only not in name:
                continue
            if tuple(arguments) not in goods:
                goods[tuple(arguments)] = good_file(*arguments)
            file = copy.deepcopy(goods[tuple(arguments)])
            fault(file)
            file.write(path)
            refuser.check(name, commands(path) if commands else refuser.weights_commands(path, options), path, words)


def check_good(refuser, work):
    """What is broken below is read when it is whole: else a refusal would prove nothing."""
    path, faults = os.path.join(work, "whole.gguf"), []
    kinds = {tuple(case[1]): case[4] for case in GGUF_CASES}
    for arguments, options in kinds.items():
        good_file(*arguments).write(path)
        for command in [*refuser.weights_commands(path, options), *refuser.text_commands(path)]:
            if command[0] == "score" and "-p" in command:
                command = [*command, *options]
            os.makedirs(refuser.out, exist_ok=True)
            done = subprocess.run([refuser.binary, *command], env=refuser.environment, capture_output=True, text=True)
            faults += [f"{arguments}: {done.stderr.strip()}"] if done.returncode else []
    refuser.report.check(not faults, f"the whole files of {len(kinds)} kinds are read" + "".join(f"; {f}" for f in faults[:6]))


def check_folders(refuser, work, only):
    rng = np.random.default_rng(7)
    good_config, good_tensors = make_models.config_json(KIND), make_models.make_tensors(KIND, rng)
    folder = os.path.join(work, "folder")

    def write(fault_in_values=None, fault_in_folder=None):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        config_values, tensors = copy.deepcopy(good_config), copy.deepcopy(good_tensors)
        if fault_in_values:
            fault_in_values(config_values, tensors)
        ref.write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
        write_text("config.json", json.dumps(config_values))(folder)
        if fault_in_folder:
            fault_in_folder(folder)

    for fault in (None, autobitlinear(lambda c, t: None)):
        write(fault)
        done = subprocess.run([refuser.binary, "score", folder, "--tokens", "1,2"], env=refuser.environment,
                              capture_output=True, text=True)  # fmt: skip
        refuser.report.check(done.returncode == 0, f"the whole folder is read {done.stderr.strip()}")
    for name, fault, words in FOLDER_CASES:
        if only in name:
            write(fault)
            refuser.check(f"folder, {name}", refuser.weights_commands(folder), folder, words)
    for name, fault, words in WRITTEN_CASES:
        if only in name:
            write(None, fault)
            refuser.check(f"folder, {name}", refuser.weights_commands(folder), folder, words)


def check_all(report, binary, work, only):
    os.makedirs(work, exist_ok=True)
    refuser = Refuser(report, binary, work)
    check_good(refuser, work)
    check_truncations(refuser, work)
    check_gguf(refuser, work, only)
    check_folders(refuser, work, only)
