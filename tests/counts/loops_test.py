#!/usr/bin/env python3
"""Counts the instructions of the kernels' inner loops in the disassembly, against figures.json.

Usage: loops_test.py OBJDUMP libtern_kernels.a COMPILER_ID COMPILER_VERSION PROCESSOR
           [--store | --self-test]
Every loop of LOOPS must be there, with exactly as many instructions as are stored: one more in the
loop that streams the weights is some per cent of a token.
"""

import re
import subprocess
import sys
from typing import NamedTuple

import figures


class Loop(NamedTuple):
    """A loop, known by the instructions that do its work: it holds exactly `count` of `worker`."""
    object: str     # Of the archive.
    what: str
    functions: str  # That it may stand in: compilers inline differently.
    worker: str
    count: int
    products: int   # Of a weight (key, value) and a token in one round; 0 where it only unpacks.


GEMV = r"(ternary_gemv|gemv_tiles?)<{}"
GEMM = r"(gemm_tile<4(ul)?, 6|gemm_tokens<4(ul)?>|codes_gemm)"
ROWS6 = r"({0}_tile<{1}, 6(ul)?, |{0}_rows<{1}|{0}_(dot|sum)<{1})"
FOUR, FIVE = GEMV.format("FourPerByte"), GEMV.format("FivePerByte")

X86_LOOPS = [
    Loop("avx512vnni", "four per byte, 1 token", FOUR, "vpdpbusd", 4, 256),
    Loop("avx512vnni", "four per byte, 2 tokens", FOUR, "vpdpbusd", 8, 512),
    Loop("avx512vnni", "four per byte, 4 tokens", FOUR, "vpdpbusd", 16, 1024),
    Loop("avx512vnni", "4 tiles by 6 tokens", GEMM, "vpdpbusd", 24, 24 * 64),
    Loop("avx512vnni", "f16 keys, 6 rows", ROWS6.format("keys", "KvF16"), "vfmadd", 24, 24 * 16),
    Loop("avx512vnni", "f16 values, 6 rows", ROWS6.format("values", "KvF16"), "vfmadd", 24, 24 * 16),
    Loop("avx512vnni", "int8 keys, 6 rows", ROWS6.format("keys", "KvInt8"), "vfmadd", 24, 24 * 16),
    Loop("avx512vnni", "floats, 4 rows by 4 tokens", r"dot_(tile<4(ul)?, 4|lanes)", "vfmadd", 16, 256),
    Loop("avx512vbmi", "five per byte, 1 token", FIVE, "vpdpbusd", 5, 320),
    Loop("avx512vbmi", "five per byte, 2 tokens", FIVE, "vpdpbusd", 10, 640),
    Loop("avx512vbmi", "five per byte, 4 tokens", FIVE, "vpdpbusd", 20, 1280),
    Loop("avx512vbmi", "five per byte, unpacking", "ternary_unpack<FivePerByte", "vpermb", 2, 0),
    Loop("avx512vbmi", "4 tiles by 6 tokens", GEMM, "vpdpbusd", 24, 24 * 64),
    Loop("avxvnni", "four per byte, 1 token", FOUR, "vpdpbusd", 8, 256),
    Loop("avxvnni", "1 tile by 6 tokens", GEMM, "vpdpbusd", 12, 12 * 32),
    Loop("avxvnni", "f16 keys, 6 rows", ROWS6.format("keys", "KvF16"), "vfmadd", 12, 12 * 8),
    Loop("avx2", "four per byte, 1 token", FOUR, "vpmaddubsw", 8, 256),
    Loop("avx2", "1 tile by 6 tokens", GEMM, "vpmaddubsw", 12, 12 * 32),
]

ARM_LOOPS = [
    Loop("neon_dotprod", "four per byte, 1 token", FOUR, "sdot", 16, 256),
    Loop("neon_dotprod", "1 tile by 6 tokens", GEMM, "sdot", 24, 24 * 16),
    Loop("neon_dotprod", "f16 keys, 6 rows", ROWS6.format("keys", "KvF16"), "fmla", 24, 24 * 4),
    Loop("neon_i8mm", "1 tile by 6 tokens", GEMM, "smmla", 24, 24 * 32),
]

MEMBER = re.compile(r"(?:.*[/(])?([^/()]*?)(?:\.cpp)?\.o\)?:\s+file format")
FUNCTION = re.compile(r"[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\s+(?:\{\w+\}\s+)?(\S.*)")
JUMP = re.compile(r"(?:j\w+\s+|b(?:\.\w+)?\s+|cbn?z\s+\w+, |tbn?z\s+\w+, #\w+, )(?:0x)?([0-9a-f]+)\b")
CALL = re.compile(r"call|ret|blr?\s")
NEON_REGISTER = re.compile(r"\b(v\d+\.|[qds]\d+\b)")


def on_vectors(text):
    """Of AVX by name, of NEON by operands."""
    if "%" in text or JUMP.match(text):
        return text.startswith("v")
    return NEON_REGISTER.search(text) is not None


def functions(listing):
    """(object, demangled name, [(address, instruction)]) of each function that objdump printed."""
    member, found = "", []
    for line in listing.splitlines():
        if match := MEMBER.match(line):
            member = match[1]
        elif match := FUNCTION.match(line):
            name = match[1].replace("tern::kernels::", "").replace("(anonymous namespace)::", "")
            found.append((member, name, []))
        elif found and (match := INSTRUCTION.match(line)):
            found[-1][2].append((int(match[1], 16), match[2]))
    return found


def loops_of(code):
    """Each stretch of a function that ends with a jump to its own begin and calls nothing."""
    starts = {address: i for i, (address, _) in enumerate(code)}
    for end, (_, text) in enumerate(code):
        jump = JUMP.match(text)
        start = starts.get(int(jump[1], 16), end + 1) if jump else end + 1
        body = [text for _, text in code[start:end + 1]]
        if body and not any(CALL.match(text) for text in body):
            yield body


def find(loop, listed):
    """The instructions of the loop, or None: of copies without a branch the longest, else the
    shortest of those with branches (which a loop around other code has, too)."""
    straight, branching = [], []
    for member, name, code in listed:
        if member != loop.object or not re.search(loop.functions, name):
            continue
        for body in loops_of(code):
            if sum(text.startswith(loop.worker) for text in body) == loop.count:
                (branching if any(JUMP.match(text) for text in body[:-1]) else straight).append(body)
    return max(straight, key=len) if straight else min(branching, key=len, default=None)


def count(loops, listed):
    """{what: instructions, and of these vector instructions}; exits where a loop is not found."""
    counted, missing = {}, []
    for loop in loops:
        what = f"loops: {loop.object}, {loop.what}"
        body = find(loop, listed)
        if body is None:
            missing.append(f"{what}: no loop with {loop.count} {loop.worker}")
            continue
        vector = sum(on_vectors(text) for text in body)
        counted[what], counted[what + ", vectors"] = len(body), vector
    if missing:
        sys.exit("\n".join([*missing, "If the kernel was changed, change its row in loops_test.py."]))
    return counted


def disassemble(objdump, archive):
    run = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", archive], capture_output=True,
                         text=True, check=True)
    return run.stdout


def self_test(loops, listed):
    """Doctors the true disassembly: a longer loop, a shorter one and none at all must be seen."""
    whole = count(loops, listed)
    for loop in loops:
        name = f"loops: {loop.object}, {loop.what}"

        def doctored(change):
            return [(member, function, [new for old in code for new in change(*old)])
                    if member == loop.object and re.search(loop.functions, function)
                    else (member, function, code) for member, function, code in listed]

        def spill(address, text):
            return [(address, text)] + [(0, "vmovaps")] * text.startswith(loop.worker)

        def workers_only(address, text):
            idle = on_vectors(text) and not text.startswith(loop.worker)
            return [(address, "nop" if idle else text)]

        def no_jump(address, text):
            return [(address, "nop" if JUMP.match(text) else text)]

        for change, word in ((spill, "grew"), (workers_only, "shrank")):
            seen = figures.faults(whole, count(loops, doctored(change)), 0, "")
            assert any(s.startswith(name) and word in s for s in seen), name
        try:
            count(loops, doctored(no_jump))
        except SystemExit as gone:
            assert f"{name}: no loop" in str(gone), gone
        else:
            raise AssertionError(f"{name}: a loop that is not there was found")
    print("every loop was seen to grow, to shrink and to be gone")


def main():
    objdump, archive, cmake_id, version, processor, *option = sys.argv[1:]
    compiler = figures.compiler_name(cmake_id, version, processor)
    storing = option == ["--store"]
    if not storing and not figures.read(compiler, "loops"):
        figures.skip(f"{figures.PATH.name} has no loops of {compiler}")
    loops = ARM_LOOPS if compiler.endswith("aarch64") else X86_LOOPS
    listed = functions(disassemble(objdump, archive))
    if option == ["--self-test"]:
        return self_test(loops, listed)
    counted = count(loops, listed)
    for loop in loops:
        if loop.products:
            length = counted[f"loops: {loop.object}, {loop.what}"]
            print(f"{loop.object}, {loop.what}: {64 * length / loop.products:.2f} instructions for "
                  "64 products")
    figures.judge(compiler, "loops", counted, 0, "instructions", storing)


if __name__ == "__main__":
    main()
