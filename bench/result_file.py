"""The files in bench/results: what they hold, and when one may not be believed.

{"version": 1, "date", "machine", "cpu", "cpus",
 "shapes": {shape: {"version", "date", "kernels", "type", "embedding_type", "commands",
                    "bytes_per_token", "ternary_macs_per_token", "load", "load_at_depth" (where one was
                    measured), "asked": [[test, threads]],
                    "results": [...], "profiles": [...]}}}
`load`, `results` and `profiles` are those of `tern bench -o json` (docs/bench.md).
"""

import json
import math
import os
from pathlib import Path

VERSION = 1
FIGURES = ("tokens_per_second", "read_bytes_per_second", "int8_macs_per_second", "read_share",
           "int8_share", "share_of_ceiling", "bytes", "macs")


def positive(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and \
        math.isfinite(value) and value > 0


def shape_faults(name, shape):
    """Sentences about one shape's entry."""
    missing = [key for key in ("version", "date", "kernels", "commands", "bytes_per_token",
                               "ternary_macs_per_token", "load", "asked", "results")
               if key not in shape]
    if missing:
        return [f"{name}: {', '.join(missing)} missing"]
    faults = []
    asked = sorted((test, threads) for test, threads in shape["asked"])
    found = sorted((row.get("test", ""), row.get("threads", 0)) for row in shape["results"])
    if not asked or asked != found:
        lost = [f"{test} at {threads}" for test, threads in asked if (test, threads) not in found]
        faults.append(f"{name}: {len(found)} rows found, expected the {len(asked)} that were asked "
                      f"for (missing: {', '.join(lost) or 'none'})")
    for row in shape["results"]:
        bad = [key for key in FIGURES if not positive(row.get(key))]
        if row.get("threads", 0) > 1 and not positive(row.get("barrier_seconds")):
            bad.append("barrier_seconds")
        if bad:
            faults.append(f"{name}: {row.get('test')} at {row.get('threads')} threads: "
                          f"{', '.join(bad)} found without a positive number")
    for key in ("seconds", "weight_bytes", "kv_bytes", "peak_resident_bytes"):
        if not positive(shape["load"].get(key)):
            faults.append(f"{name}: load: {key} found without a positive number")
    return faults


def faults_of(document):
    """Sentences about what is wrong with a whole file; empty: it may be used."""
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return [f"version {VERSION} expected"]
    missing = [key for key in ("date", "machine", "cpu", "cpus", "shapes") if key not in document]
    if missing:
        return [f"{', '.join(missing)} missing"]
    if not document["shapes"]:
        return ["no shape found, expected at least one"]
    return [fault for name, shape in document["shapes"].items() for fault in shape_faults(name, shape)]


def read(path):
    """The file's document. Raises ValueError where it is not whole."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: no whole JSON document ({error})") from None
    faults = faults_of(document)
    if faults:
        raise ValueError(f"{path}: " + "; ".join(faults))
    return document


def write(path, document):
    """Writes the file whole or not at all. Raises ValueError where the document is not whole."""
    faults = faults_of(document)
    if faults:
        raise ValueError(f"{path}: not written: " + "; ".join(faults))
    beside = Path(f"{path}.{os.getpid()}.part")
    try:
        beside.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def newest(folder):
    """The newest result file of a folder: names begin with the date."""
    files = sorted(Path(folder).glob("*.json"))
    if not files:
        raise ValueError(f"{folder}: no result file found, expected <date>-<machine>.json")
    return files[-1]
