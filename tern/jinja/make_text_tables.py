#!/usr/bin/env python3
"""Writes text_tables.cpp: how Python maps letter case, and what its repr() prints as it is.

Usage: make_text_tables.py > text_tables.cpp
"""

import sys
import unicodedata


def plain_runs(mapping, but=lambda c: c):
    """Runs (first, last, stride, delta) of what `mapping` turns into one code point, not `but`'s."""
    runs = []
    for code in range(sys.maxunicode + 1):
        to = mapping(chr(code))
        if len(to) != 1 or to == but(chr(code)):
            continue
        delta = ord(to) - code
        if runs:
            first, last, stride, run_delta = runs[-1]
            step = code - last
            if delta == run_delta and step <= 2 and (first == last or step == stride):
                runs[-1] = (first, code, step, delta)
                continue
        runs.append((code, code, 1, delta))
    return runs


def long_ones(mapping, but=lambda c: c):
    """Code points that become several."""
    return [(code, mapping(chr(code))) for code in range(sys.maxunicode + 1)
            if len(mapping(chr(code))) > 1 and mapping(chr(code)) != but(chr(code))]


def hidden_runs():
    runs = []
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code <= 0xDFFF or chr(code).isprintable():
            continue
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs


def rows(items, per_line):
    for i in range(0, len(items), per_line):
        print("    " + " ".join(items[i:i + per_line]))


def main():
    print(f"// Made by make_text_tables.py from Unicode {unicodedata.unidata_version}; do not edit.")
    print('#include "tern/jinja/text_tables.h"\n\n// clang-format off\nnamespace tern::jinja {\nnamespace {\n')
    same = lambda c: c
    for name, mapping, but in (("Upper", str.upper, same), ("Lower", str.lower, same),
                               ("Title", str.title, str.upper)):
        print(f"constexpr CaseRun k{name}[] = {{")
        rows([f"{{0x{a:X}, 0x{b:X}, {s}, {d}}}," for a, b, s, d in plain_runs(mapping, but)], 4)
        print("};\n")
        print(f"constexpr LongCase k{name}Long[] = {{")
        texts = ["".join(f"\\x{byte:02X}" for byte in to.encode()) for _, to in long_ones(mapping, but)]
        rows([f'{{0x{c:X}, "{t}"}},' for (c, _), t in zip(long_ones(mapping, but), texts)], 3)
        print("};\n")
    print("constexpr HiddenRun kHidden[] = {")
    rows([f"{{0x{a:X}, 0x{b:X}}}," for a, b in hidden_runs()], 6)
    print("};\n\n}  // namespace\n")
    print("constinit const CaseTable kUpperTable{kUpper, kUpperLong};")
    print("constinit const CaseTable kLowerTable{kLower, kLowerLong};")
    print("constinit const CaseTable kTitleTable{kTitle, kTitleLong};")
    print("constinit const std::span<const HiddenRun> kHiddenTable{kHidden};\n")
    print("}  // namespace tern::jinja")


if __name__ == "__main__":
    main()
