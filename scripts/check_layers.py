#!/usr/bin/env python3
"""Holds the tree to its own rules: who may include whom, sizes, and what only some rooms may do.

Usage: check_layers.py [ROOT]     (default: the project this script stands in)
       check_layers.py --self-test
Prints one line per fault and exits 1 if there is any.
"""

import re
import sys
import tempfile
from pathlib import Path

# Who may know whom. A room may include itself and all that these may reach.
ROOMS = {
    "base": [],
    "tensor": ["base"],
    "quant": ["tensor"],
    "kernels": ["tensor"],
    "formats": ["tensor"],
    "arch": ["tensor"],
    "jinja": ["base"],
    "tokenizer": ["base", "jinja"],
    "checkpoint": ["arch", "formats", "quant", "tokenizer"],
    "model": ["checkpoint", "kernels"],
    "grammar": ["base"],
    "engine": ["grammar", "model", "tokenizer"],
    "convert": ["checkpoint", "model"],
    "capi": ["engine", "checkpoint"],
    "report": ["base"],
    "hub": ["base"],
    "server": ["engine", "checkpoint"],
    "corpus": ["checkpoint", "tokenizer"],
    "train": ["checkpoint", "corpus", "kernels", "quant", "report"],
    "cli": ["engine", "convert", "checkpoint", "model", "report", "hub", "server"],
    "cli_train": ["train", "cli"],
}

MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 120

# The walk of one token, in order: from the command to the text.
TOKEN_WALK = [
    "cli/run_command.cpp",
    "engine/generator.cpp",
    "tokenizer/tokenizer.cpp",
    "model/forward.cpp",
    "kernels/ternary.cpp",
    "kernels/attention.cpp",
    "model/head.cpp",
    "engine/sampler.cpp",
]
MAX_WALK_FILES = 8
MAX_WALK_LINES = 2500

# Headers of the operating system: only base/ may ask it for anything.
PLATFORM_HEADER = re.compile(
    r"(sys/.*|unistd\.h|fcntl\.h|pthread\.h|sched\.h|signal\.h|csignal|dlfcn\.h|termios\.h|poll\.h"
    r"|dirent\.h|windows\.h|io\.h|cpuid\.h)$")
# Words that only the program may use: a library prints nothing and exits nowhere.
PROGRAM_WORD = re.compile(
    r"\bstd::(cout|cerr|clog)\b|(?<![\w.>:])(?:std::)?(?:printf|puts|putchar|exit|_exit|abort|quick_exit)"
    r"\s*\(|\bstd::(?:exit|abort|terminate|quick_exit)\s*\(")

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]')


def reachable(room):
    """The rooms that `room` may include, itself among them."""
    seen, left = set(), [room]
    while left:
        next_room = left.pop()
        if next_room not in seen:
            seen.add(next_room)
            left += ROOMS[next_room]
    return seen


def blank_out(text):
    """The source with comments and the insides of literals replaced by blanks, lines kept."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])*\'',
        re.S)

    def blank(match):
        piece = match.group(0)
        keep = "\n" * piece.count("\n")
        return '""' + keep if piece[0] in "\"R" else " " + keep

    return pattern.sub(blank, text)


NO_FUNCTION = re.compile(
    r"^\s*(?:template\s*<[^{]*>\s*)?(?:namespace|class|struct|union|enum|extern\s*\"\")\b")


def functions(text):
    """(first line, lines) of each function body, approximately: a brace after a parameter list."""
    found = []
    depth, start, start_depth = 0, 0, None
    header, line, initialiser_depth = "", 1, None
    for position, char in enumerate(text):
        if char == "\n":
            line += 1
        if char == "{":
            depth += 1
            if start_depth is None and initialiser_depth is None:
                opens_member = re.search(r"\)[^()]*:\s", header) and text[position - 1].isalnum() | (
                    text[position - 1] == "_")
                is_function = (")" in header and header.count("(") == header.count(")")
                               and not NO_FUNCTION.match(header)
                               and not re.search(r"(?<![=!<>])=(?!=)\s*\S", header.split("(")[0]))
                if opens_member:
                    initialiser_depth = depth
                elif is_function:
                    start, start_depth = line - header.strip("\n ").count("\n"), depth
                else:
                    header = ""
        elif char == "}":
            if depth == start_depth:
                found.append((start, line - start + 1))
                start_depth, header = None, ""
            elif depth == initialiser_depth:
                initialiser_depth = None
            elif start_depth is None and initialiser_depth is None:
                header = ""
            depth -= 1
        elif start_depth is None and initialiser_depth is None:
            if char == ";":
                header = ""
            elif char == "#" and not header.strip():
                header = "#"
            elif header.startswith("#"):
                header = "" if char == "\n" and text[position - 1] != "\\" else "#"
            else:
                header += char
    return found


def check_includes(name, room, lines, faults):
    allowed = reachable(room)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        if target.startswith("tern/"):
            other = target.split("/")[1]
            if other not in ROOMS:
                faults.append(f"{name}:{number}: includes {target}, which is in no known room")
            elif other not in allowed:
                faults.append(f"{name}:{number}: {room} may not know {other} ({target})")
        elif room != "base" and "_test" not in name and PLATFORM_HEADER.match(target):
            faults.append(f"{name}:{number}: <{target}> is a platform header; only base may use it")


def check_file(path, name, room, faults):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if not re.match(r"(//|/\*)\s*\S", lines[0] if lines else ""):
        faults.append(f"{name}:1: the first line does not say what the file is")
    if len(lines) > MAX_FILE_LINES:
        faults.append(f"{name}: {len(lines)} lines, {MAX_FILE_LINES} are the limit")
    for number, line in enumerate(lines, 1):
        if re.search(r"\bTODO\b(?! \(#\d+\))", line):
            faults.append(f"{name}:{number}: TODO without an issue number, as in TODO (#12)")
    check_includes(name, room, lines, faults)
    bare = blank_out(text)
    for first, count in functions(bare):
        if count > MAX_FUNCTION_LINES:
            faults.append(f"{name}:{first}: a function of {count} lines, {MAX_FUNCTION_LINES} are the limit")
    if room not in ("cli", "cli_train") and "_test" not in name and "_bench" not in name:
        for number, line in enumerate(bare.splitlines(), 1):
            match = PROGRAM_WORD.search(line)
            if match:
                faults.append(f"{name}:{number}: '{match.group(0).strip()}' stands outside cli")


def check_cmake(path, room, faults):
    """What a room links must be what it may include."""
    text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
    # A room is one library, or several parts named <room>_<part>.
    for call in re.finditer(r"tern_module\(\s*" + room + r"(?:_\w+)?\b([^)]*)\)", text):
        if "DEPENDS" not in call.group(1):
            continue
        listed = re.split(r"\b(?:LINKS|SOURCES)\b", call.group(1).split("DEPENDS", 1)[1])[0].split()
        for other in listed:
            if other in ROOMS and other not in reachable(room):
                faults.append(f"tern/{room}/CMakeLists.txt: {room} may not link {other}")


def check_walk(tern, faults):
    missing = [name for name in TOKEN_WALK if not (tern / name).exists()]
    for name in missing:
        faults.append(f"the walk of one token names tern/{name}, which does not exist")
    count = sum(len((tern / name).read_text().splitlines()) for name in TOKEN_WALK
                if name not in missing)
    if len(TOKEN_WALK) > MAX_WALK_FILES or count > MAX_WALK_LINES:
        faults.append(f"the walk of one token crosses {len(TOKEN_WALK)} files and {count} lines; "
                      f"{MAX_WALK_FILES} and {MAX_WALK_LINES} are the limit")
    return count


def check(root):
    tern, faults, files = root / "tern", [], 0
    for folder in sorted(p for p in tern.iterdir() if p.is_dir()):
        room = folder.name
        if room not in ROOMS:
            faults.append(f"tern/{room}: a room that scripts/check_layers.py does not know")
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".h", ".cpp", ".c"):
                files += 1
                check_file(path, path.relative_to(root).as_posix(), room, faults)
        if (folder / "CMakeLists.txt").exists():
            check_cmake(folder / "CMakeLists.txt", room, faults)
    return faults, files, check_walk(tern, faults)


def self_test():
    """Each fault in a made-up tree must be found, and nothing in a sound one."""
    long_body = "\n".join(["  x += 1;"] * 130)
    bad = {
        "tensor/a.h": ('// A.\n#include "tern/model/b.h"\n', "tensor may not know model"),
        "base/b.h": ('// B.\n#include "tern/tensor/a.h"\n', "base may not know tensor"),
        "model/c.h": ('// C.\n#include "tern/attic/c.h"\n', "in no known room"),
        "formats/d.h": ("// D.\n#include <unistd.h>\n", "platform header"),
        "quant/e.h": ("#pragma once\n", "does not say what the file is"),
        "quant/f.cpp": ("// F.\n" + "\n" * 900, "lines, 800"),
        "quant/g.cpp": ("// G.\nnamespace t {\nint f(int x) {\n" + long_body + "\n  return x;\n}\n}\n",
                        "a function of 133 lines"),
        "quant/h.cpp": ("// H.\nFoo::Foo(int x) : a_{x}, b_(2) {\n" + long_body + "\n}\n",
                        "a function of 132 lines"),
        "engine/i.cpp": ('// I.\nvoid f() { std::cerr << "x"; }\n', "stands outside cli"),
        "engine/j.cpp": ("// J.\nvoid f() { std::abort(); }\n", "stands outside cli"),
        "engine/k.cpp": ("// K.\n// TODO later\n", "TODO without"),
        "attic/l.h": ("// L.\n", "does not know"),
    }
    good = {
        "base/m.cpp": '// M.\n#include <unistd.h>\nconst char* s = "std::cerr {";  // exit(1)\n',
        "model/n.cpp": '// N.\n#include "tern/base/b.h"\n#include "tern/kernels/x.h"\n',
        "cli/o.cpp": '// O.\n#include "tern/engine/e.h"\nint main() { std::printf("x"); }\n',
        "quant/p.cpp": "// P.\nconstexpr int k[] = {\n" + "\n".join(["  1,"] * 300) + "\n};\n"
                       + "class C {\n" + "\n".join(["  int f() { return 1; }"] * 200) + "\n};\n",
    }
    for name in TOKEN_WALK:
        good[name] = "// A step.\n"

    def faults_of(files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder) / "tern" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check(Path(folder))[0]

    wrong = [f"found in a sound tree: {fault}" for fault in faults_of(good)]
    for name, (text, expected) in bad.items():
        faults = faults_of({**good, name: text})
        if len(faults) != 1 or expected not in faults[0]:
            wrong.append(f"{name}: expected one fault with '{expected}', found {faults}")
    walk = faults_of({**good, TOKEN_WALK[0]: "// Long.\n" * 700, TOKEN_WALK[1]: "// L.\n" * 700,
                      TOKEN_WALK[2]: "// L.\n" * 700, TOKEN_WALK[3]: "// L.\n" * 700})
    if len(walk) != 1 or "crosses" not in walk[0]:
        wrong.append(f"a walk of 2,800 lines: found {walk}")
    cmake = faults_of({**good, "tensor/CMakeLists.txt":
                       "tern_module(tensor SOURCES a.cpp DEPENDS base model LINKS x)\n"})
    if len(cmake) != 1 or "may not link model" not in cmake[0]:
        wrong.append(f"a wrong DEPENDS: found {cmake}")
    return wrong


def main():
    if sys.argv[1:] == ["--self-test"]:
        wrong = self_test()
        print("\n".join(wrong) or "self-test passed")
        return 1 if wrong else 0
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    faults, files, walk_lines = check(root)
    print("\n".join(faults) or f"{files} files keep the rules; the walk of one token crosses "
          f"{len(TOKEN_WALK)} files and {walk_lines} lines")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
