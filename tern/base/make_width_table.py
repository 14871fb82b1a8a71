#!/usr/bin/python3
"""Writes char_width_table.cpp, here, from Python's unicodedata (East_Asian_Width and categories)."""
import contextlib
import pathlib
import unicodedata

IDEOGRAPHS = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FFFD),
              (0x30000, 0x3FFFD)]


def width(c):
    """Columns of a code point on a terminal, or None for the usual one."""
    char = chr(c)
    # Vowels and finals of Hangul syllables stand in the column of their initial; the soft hyphen
    # is the one format character that terminals show.
    if 0x1160 <= c <= 0x11FF or 0xD7B0 <= c <= 0xD7FF:
        return 0
    if unicodedata.category(char) in ("Mn", "Me", "Cf") and c != 0xAD:
        return 0
    # Of these Unicode says that also what is not assigned yet will be wide; of other unassigned
    # characters Python's answer means nothing.
    if any(first <= c <= last for first, last in IDEOGRAPHS):
        return 2
    if unicodedata.category(char) != "Cn" and unicodedata.east_asian_width(char) in "WF":
        return 2
    return None


def ranges():
    found = []
    for c in range(0x80, 0x110000):
        value = width(c)
        if value is None:
            continue
        if found and found[-1][1] == c - 1 and found[-1][2] == value:
            found[-1][1] = c
        else:
            found.append([c, c, value])
    return found


def main():
    path = pathlib.Path(__file__).parent / "char_width_table.cpp"
    with open(path, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        print(f"// Characters of no column or of two, Unicode {unicodedata.unidata_version}. Written by"
              " make_width_table.py.")
        print('#include "tern/base/char_width.h"')
        print()
        print("// clang-format off")
        print("namespace tern {")
        print("namespace {")
        print()
        print("constexpr CharWidthRange kRanges[] = {")
        line = "   "
        for first, last, value in ranges():
            item = f" {{{first:#x}, {last:#x}, {value}}},"
            if len(line) + len(item) > 100:
                print(line)
                line = "   "
            line += item
        print(line)
        print("};")
        print()
        print("}  // namespace")
        print()
        print("const std::span<const CharWidthRange> kCharWidths = kRanges;")
        print()
        print("}  // namespace tern")


if __name__ == "__main__":
    main()
