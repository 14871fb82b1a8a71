#!/usr/bin/env python3
"""Measures tern on this machine: every row of docs/bench.md's table, into one file.

Usage: bench/measure.py TERN OUT.json [--shapes bitnet-2b4t,...] [--machine NAME] [--type TQ2_0]
                        [--embedding-type Q6_K] [--models FOLDER] [--flags="-p 512 ..."] [--quick]

A shape is made with `tern synth` in FOLDER (default: the temporary folder; left there only if it was
there), measured with `tern bench`, and put into OUT.json, which keeps the other shapes it has. A
shape with a row missing is refused, and OUT.json stays as it was. Nothing else should run meanwhile.
--flags replaces the rows by one run of `tern bench` with these flags, -t among them. --quick measures
the shape "tiny" in seconds, to try this script.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import result_file

ROWS = ["-p", "128,512", "-n", "128", "-npl", "1,2,4,8,16,32", "-t", "1,2", "--profile"]


def depth(context, threads):
    """Generation at the end of the context."""
    return ["-p", "0", "-n", "128", "-d", str(context - 128), "-t", threads, "-r", "2", "--profile"]


# The other layout, for comparison.
FOUR = ["-p", "512", "-n", "128", "-t", "1,2", "--layout", "four"]

# For shapes where each row takes minutes.
FEW = ["-p", "512", "-n", "128", "-npl", "32", "-t", "1,2", "-r", "2", "--profile"]

MACHINE = re.compile(r"^\d{4}-\d\d-\d\d-")  # The date in front of it.

# What is run for each shape. A shape's first run gives its load row.
PLAN = {
    "bitnet-2b4t": [ROWS, depth(4096, "1,2"), FOUR],
    "bitnet-700m": [ROWS, depth(2048, "1,2")],
    "llama3-8b": [FEW, depth(4096, "2")],
    "llama-70b": [["-p", "0", "-n", "16", "-r", "1", "-t", "2", "--profile"]],
}
QUICK = {"tiny": [["-p", "16", "-n", "8", "-npl", "2", "-t", "1,2", "-r", "1", "--profile"],
                  ["-p", "0", "-n", "4", "-d", "64", "-t", "2", "-r", "1"]]}


def numbers(words, flag):
    return [int(n) for n in words[words.index(flag) + 1].split(",")] if flag in words else []


def asked(words):
    """The rows that a run must bring, as [test, threads]."""
    tests = []
    for at in numbers(words, "-d") or [0]:
        end = f" @ d{at}" if at else ""
        tests += [f"pp{n}{end}" for n in numbers(words, "-p") if n]
        tests += [f"tg{n}{end}" for n in numbers(words, "-n") if n]
    tests += [f"npl{n}" for n in numbers(words, "-npl") if n]
    layouts = words[words.index("--layout") + 1].split(",") if "--layout" in words else ["densest"]
    return [[test, threads] for _ in layouts for threads in numbers(words, "-t") for test in tests]


def measure_shape(tern, shape, runs, options):
    path = Path(options.models) / f"{shape}-{options.type}-{options.embedding_type}.gguf"
    there = path.exists()
    try:
        if not there:
            subprocess.run([tern, "synth", "--shape", shape, "--type", options.type,
                            "--embedding-type", options.embedding_type, path], check=True)
        entry = None
        for words in runs:
            print(f"{shape}: tern bench {' '.join(words)}", file=sys.stderr, flush=True)
            run = subprocess.run([tern, "bench", path, *words, "-o", "json"], check=True,
                                 stdout=subprocess.PIPE, text=True)
            found = json.loads(run.stdout)
            if entry is None:
                entry = {key: found[key] for key in ("version", "kernels", "bytes_per_token",
                                                     "ternary_macs_per_token", "load", "cpu")}
                entry |= {"date": datetime.date.today().isoformat(), "type": options.type,
                          "embedding_type": options.embedding_type, "commands": [], "asked": [],
                          "results": [], "profiles": []}
            if "-d" in words:
                entry["load_at_depth"] = found["load"] | {"version": found["version"]}
            entry["commands"].append(" ".join(["tern bench", *words]))
            entry["asked"] += asked(words)
            entry["results"] += found["results"]
            entry["profiles"] += found.get("profiles", [])
        return entry
    finally:
        if not there:
            path.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1][len("Usage: "):])
    parser.add_argument("tern")
    parser.add_argument("out")
    parser.add_argument("--shapes", default=None)
    parser.add_argument("--machine", default=None)
    parser.add_argument("--type", default="TQ2_0")
    parser.add_argument("--embedding-type", default="Q6_K")
    parser.add_argument("--models", default=tempfile.gettempdir())
    parser.add_argument("--flags", default=None)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    plan = QUICK if options.quick else PLAN
    shapes = options.shapes.split(",") if options.shapes else list(plan)
    unknown = [name for name in shapes if name not in plan]
    if unknown:
        sys.exit(f"shape {unknown[0]} found, expected one of: {', '.join(plan)}")
    if options.flags:
        plan = {name: [options.flags.split()] for name in shapes}
    tern, out = str(Path(options.tern).resolve()), Path(options.out)
    try:
        document = result_file.read(out) if out.exists() else None
        for name in shapes:
            entry = measure_shape(tern, name, plan[name], options)
            cpu = entry.pop("cpu")
            if document is None:
                document = {"version": result_file.VERSION, "date": entry["date"],
                            "machine": options.machine or MACHINE.sub("", out.stem), "cpu": cpu,
                            "cpus": os.cpu_count(), "shapes": {}}
            if (document["cpu"], document["cpus"]) != (cpu, os.cpu_count()):
                raise ValueError(f"{out}: measured on {document['cpu']} with {document['cpus']} "
                                 f"CPUs, this is {cpu} with {os.cpu_count()}")
            faults = result_file.shape_faults(name, entry)
            if faults:
                raise ValueError("; ".join(faults))
            document["shapes"][name] = entry
            document["date"] = entry["date"]
            result_file.write(out, document)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"measure.py: {error}")


if __name__ == "__main__":
    main()
