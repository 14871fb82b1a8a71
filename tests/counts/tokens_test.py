#!/usr/bin/env python3
"""Counts the instructions of a decoded token and of a prompt under callgrind, against figures.json.

Usage: tokens_test.py TERN COMPILER_ID COMPILER_VERSION PROCESSOR [--store | --self-test]
The model is make_tiny_model.py's, which is the same on every machine, as TQ2_0, and the kernels are
avx2's, because valgrind knows no AVX-512. Times differ by a third from run to run on a busy machine;
these counts by less than a thousandth. Each figure is the difference of two runs, so that loading
the model is not in it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import figures

TOLERANCE = 0.05
PROMPT = 128
TOKENS = 8, 24  # Decoded in the two runs.
MAKE_MODEL = Path(__file__).resolve().parent.parent / "make_tiny_model.py"


def run(*words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TERN_")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300,
                          env=environment | {"TERN_ISA": "avx2"})
    if done.returncode != 0:
        sys.exit(f"{words[0]} failed with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done


def instructions(tern, model, prompt_tokens, tokens):
    text = ("x " * PROMPT)[:prompt_tokens]  # A letter and a space are a token each.
    done = run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", tern, "run", "-m",
               model, "--threads", "1", "--temp", "0", "--ignore-eos", "-n", str(tokens), "--json",
               "--prompt", text)
    for name, wanted in ("prompt_tokens", prompt_tokens), ("generated_tokens", tokens):
        if f'"{name}":{wanted},' not in done.stdout:
            sys.exit(f"expected {wanted} {name}: {done.stdout}")
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def count(tern):
    with tempfile.TemporaryDirectory() as folder:
        hf, model = Path(folder, "tiny"), Path(folder, "tiny.gguf")
        run(sys.executable, MAKE_MODEL, hf)
        run(tern, "convert", hf, model, "--type", "TQ2_0")
        few, many = (instructions(tern, model, 1, n) for n in TOKENS)
        short, long = (instructions(tern, model, n, 1) for n in (1, PROMPT))
    return {"avx2: one decoded token": round((many - few) / (TOKENS[1] - TOKENS[0])),
            f"avx2: a prompt of {PROMPT} tokens": long - short}


def self_test():
    """A figure may move by 5 % and no further, and none may be missing."""
    stored = {"avx2: one decoded token": 100_000}

    def told(figure):
        return figures.faults(stored, {"avx2: one decoded token": figure}, TOLERANCE, "instructions")

    assert told(100_000) == told(104_900) == told(95_100) == []
    assert "grew to 105,100" in told(105_100)[0] and "shrank to 94,900" in told(94_900)[0]
    assert "lower the stored figure" in told(94_900)[0]
    assert "not counted" in figures.faults(stored, {}, TOLERANCE, "")[0]
    assert "nothing is stored" in figures.faults({}, stored, TOLERANCE, "")[0]


def main():
    tern, cmake_id, version, processor, *option = sys.argv[1:]
    if option == ["--self-test"]:
        return self_test()
    compiler = figures.compiler_name(cmake_id, version, processor)
    storing = option == ["--store"]
    if not shutil.which("valgrind"):
        figures.skip("valgrind is not installed (scripts/packages test names it)")
    if not storing and not figures.read(compiler, "avx2"):
        figures.skip(f"{figures.PATH.name} has no counts of {compiler}")
    if not re.search(r"^flags.*\bavx2\b", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M):
        figures.skip("this CPU has no AVX2")
    figures.judge(compiler, "avx2", count(tern), TOLERANCE, "instructions", storing)


if __name__ == "__main__":
    main()
