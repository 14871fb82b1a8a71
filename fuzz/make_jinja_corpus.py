#!/usr/bin/python3
"""Writes the first inputs of fuzz_jinja into corpus/, beside this file: the tests' templates and snippets."""
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
sys.path.insert(0, str(TESTS))
import chat_snippets  # noqa: E402

folder = HERE / "corpus" / "jinja"
folder.mkdir(parents=True, exist_ok=True)
for path in (TESTS / "golden" / "chat" / "templates").glob("*.jinja"):
    shutil.copy(path, folder / path.name)
for name in ("VALUES", "FILTERS", "TESTS_AND_METHODS", "STATEMENTS"):
    pieces = getattr(chat_snippets, name)
    for i in range(0, len(pieces), 6):
        (folder / f"{name.lower()}_{i:02}").write_text("\n".join(pieces[i:i + 6]), encoding="utf-8")
