#!/usr/bin/python3
"""Writes unicode_tables.cpp and nfc_tables.cpp, here, from Python's unicodedata."""
import contextlib
import pathlib
import unicodedata


def ranges(value_of):
    """Maximal ranges (first, last, value) of code points whose value is not None."""
    out = []
    for c in range(0x80, 0x110000):
        value = value_of(c)
        if value is None:
            continue
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        else:
            out.append([c, c, value])
    return out


def print_table(declaration, rows):
    print(f"{declaration} {{")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(row) + "},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")


def kind(c):
    return {"L": "kL", "N": "kN", "P": "kP"}.get(unicodedata.category(chr(c))[0])


def decompositions():
    for c in range(0x80, 0x110000):
        parts = unicodedata.decomposition(chr(c))
        if not parts or parts.startswith("<"):
            continue
        parts = [int(p, 16) for p in parts.split()]
        composes = len(parts) == 2 and unicodedata.normalize("NFC", chr(c)) == chr(c)
        yield (hex(c), hex(parts[0]), hex(parts[1]) if len(parts) == 2 else "0", str(int(composes)))


@contextlib.contextmanager
def source_file(name, what):
    path = pathlib.Path(__file__).parent / name
    with open(path, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        print(f"// {what}. Written by make_unicode_tables.py.")
        print('#include "tern/tokenizer/unicode_tables.h"')
        print()
        print("// clang-format off")
        print("namespace tern::tokenizer {")
        print("namespace {")
        print()
        yield
        print()
        print("}  // namespace tern::tokenizer")


def main():
    with source_file("unicode_tables.cpp", "General categories and combining classes"):
        print("constexpr auto kL = CharKind::kLetter, kN = CharKind::kNumber;")
        print("constexpr auto kP = CharKind::kPunctuation;")
        print()
        print_table("constexpr CharKindRange kKinds[] =",
                    [(hex(a), hex(b), v) for a, b, v in ranges(kind)])
        print()
        print_table("constexpr CombiningRange kCombining[] =",
                    [(hex(a), hex(b), str(v)) for a, b, v in
                     ranges(lambda c: unicodedata.combining(chr(c)) or None)])
        print()
        print("}  // namespace")
        print()
        print("const std::span<const CharKindRange> kCharKinds = kKinds;")
        print("const std::span<const CombiningRange> kCombiningClasses = kCombining;")
    with source_file("nfc_tables.cpp", "Canonical decompositions"):
        print_table("constexpr Decomposition kCanonical[] =", decompositions())
        print()
        print("}  // namespace")
        print()
        print("const std::span<const Decomposition> kDecompositions = kCanonical;")


if __name__ == "__main__":
    main()
