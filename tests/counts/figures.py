"""The stored figures of counts: read, compared, renewed. Used by loops_test.py and tokens_test.py.

figures.json: {compiler, major version and processor: {what: figure}}. Another compiler makes other
code, so figures of one say nothing about another: without its own a test is skipped (exit 77).
"""

import json
import re
import sys
from pathlib import Path

PATH = Path(__file__).with_name("figures.json")
SKIPPED = 77


def compiler_name(cmake_id, version, processor):
    """("GNU", "12.2.0", "x86_64") -> "g++ 12 x86_64"."""
    name = {"GNU": "g++", "Clang": "clang++"}.get(cmake_id, cmake_id)
    processor = {"AMD64": "x86_64", "arm64": "aarch64"}.get(processor, processor)
    return f"{name} {re.match('[0-9]*', version)[0]} {processor}"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def faults(stored, counted, tolerance, unit):
    """One line for each figure that is not what is stored, within `tolerance` (0.05: 5 %)."""
    found = []
    for what in sorted(stored.keys() | counted.keys()):
        if what not in counted:
            found.append(f"{what}: not counted, stored is {stored[what]:,}")
        elif what not in stored:
            found.append(f"{what}: {counted[what]:,} {unit}, nothing is stored")
        elif counted[what] > stored[what] * (1 + tolerance):
            found.append(f"{what}: grew to {counted[what]:,} {unit}, stored are {stored[what]:,}: "
                         "make it as short again, or store the new figure and say why")
        elif counted[what] < stored[what] * (1 - tolerance):
            found.append(f"{what}: shrank to {counted[what]:,} {unit}, stored are {stored[what]:,}: "
                         "lower the stored figure, so that it cannot grow back unseen")
    return found


def belongs(what, section):
    return what.startswith(section + ": ")


def read(compiler, section):
    """The figures of one section ("loops", "avx2"), or {} where this compiler has none."""
    stored = json.loads(PATH.read_text(encoding="utf-8")).get(compiler, {})
    return {what: figure for what, figure in stored.items() if belongs(what, section)}


def store(compiler, section, counted):
    """Replaces the figures of one section of one compiler, and leaves all others."""
    document = json.loads(PATH.read_text(encoding="utf-8"))
    kept = {w: f for w, f in document.get(compiler, {}).items() if not belongs(w, section)}
    document[compiler] = dict(sorted((kept | counted).items()))
    PATH.write_text(json.dumps(dict(sorted(document.items())), indent=1) + "\n", encoding="utf-8")


def judge(compiler, section, counted, tolerance, unit, storing):
    """Prints every figure; stores them, or exits 1 with the faults, or 77 where none are stored."""
    for what, figure in counted.items():
        print(f"{what}: {figure:,} {unit}")
    if storing:
        store(compiler, section, counted)
        return
    stored = read(compiler, section)
    if not stored:
        skip(f"{PATH.name} has no such figures for {compiler}")
    found = faults(stored, counted, tolerance, unit)
    if found:
        sys.exit("\n".join([f"{compiler}, {len(found)} of {len(stored | counted)} figures:", *found,
                            "To store what was counted, run this test's command with --store."]))
