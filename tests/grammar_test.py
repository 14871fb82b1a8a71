#!/usr/bin/env python3
"""The model that ships, held to schemas and grammars, whatever the seed: grammar_test.py TERN

Each text is parsed by Python's json and judged by python3-jsonschema; without that module the test
is skipped (77).
"""

import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

TERN = str(Path(sys.argv.pop(1)).resolve())
SHORT = {"type": "string", "maxLength": 16}
NODE = {"type": "object", "properties": {"word": {"type": "string", "maxLength": 6}, "child": {
    "anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]}}, "required": ["word", "child"],
    "additionalProperties": False}
# All of these end by themselves, however the model chooses.
SCHEMAS = {
    "person": {"type": "object", "properties": {
        "name": SHORT, "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": {"type": "string", "format": "email"}, "born": {"type": "string", "format": "date"}},
        "required": ["name", "age"], "additionalProperties": False},
    "choice": {"enum": ["yes", "no", None, 42, {"maybe": True}]},
    "numbers": {"type": "array", "items": {"type": "number", "exclusiveMinimum": -10, "maximum": 10},
                "minItems": 2, "maxItems": 6},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}, SHORT],
              "items": False, "minItems": 3},
    "tree": {"$defs": {"leaf": {"type": "object", "properties": {"n": {"type": "integer"}},
                                "required": ["n"], "additionalProperties": False}}, **NODE},
    "pattern": {"type": "string", "pattern": "^[A-Z][a-z]{2,8}( [A-Z][a-z]{2,8}){0,2}[.!?\"]$"},
    "union": {"anyOf": [{"type": "string", "minLength": 3, "maxLength": 9}, {"type": "null"},
                        {"type": "object", "properties": {"日本語": {"type": "string", "maxLength": 5}},
                         "required": ["日本語"], "additionalProperties": False}]},
    "merged": {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                         {"type": "object", "properties": {"b": {"type": ["boolean", "null"]}},
                          "required": ["b"]}]},
}
TEMPERATURES = (0, 0.8, 2, 8)  # From the best token to nearly uniform.


def run(*args, status=0):
    result = subprocess.run([TERN, "run", *map(str, args)], capture_output=True, timeout=120)
    if result.returncode != status:
        raise AssertionError(f"{args}: {result.returncode}, {result.stderr.decode()}")
    return result


def texts(model, *args):
    """What the model writes under each of a sweep of seeds, with how it ended."""
    for seed, temperature in enumerate(TEMPERATURES):
        top_k = 0 if temperature > 1 else 40
        out = run(model, *args, "-n", 400, "-c", 0, "--json", "--seed", seed, "--temp", temperature,
                  "--top-k", top_k, "--min-p", 0, "--top-p", 1).stdout
        yield json.loads(out)


class HeldToAGrammar(unittest.TestCase):
    def test_every_text_is_valid(self):
        for name, schema in SCHEMAS.items():
            validator = jsonschema.Draft202012Validator(
                schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
            for model, prompt in (("en", "Once upon a time"), ("ja", "昔々"), ("en", "")):
                for result in texts(model, "-p", prompt, "-j", json.dumps(schema)):
                    with self.subTest(schema=name, model=model, text=result["text"]):
                        self.assertEqual(result["stop_reason"], "end")
                        validator.validate(json.loads(result["text"]))

    def test_texts_differ(self):
        found = {r["text"] for r in texts("en", "-p", "the", "-j", json.dumps(SCHEMAS["person"]))}
        self.assertGreater(len(found), 2)

    def test_grammars(self):
        arithmetic = ('root ::= term (" " [-+*/] " " term){1,4}\n'
                      'term ::= [0-9]{1,4} | "(" [0-9]{1,2} ")" # small')
        for result in texts("en", "-p", "the", "--grammar", arithmetic):
            self.assertRegex(result["text"], r"^(\d{1,4}|\(\d{1,2}\))( [-+*/] (\d{1,4}|\(\d{1,2}\))){1,4}$")
            self.assertEqual(result["stop_reason"], "end")
        for result in texts("ja", "-p", "", "--grammar", 'root ::= [ぁ-ん]{3,20} "。"'):
            self.assertTrue(re.fullmatch("[ぁ-ん]{3,20}。", result["text"]), result["text"])

    def test_files_and_errors(self):
        with tempfile.TemporaryDirectory() as folder:
            grammar, schema = Path(folder) / "g.gbnf", Path(folder) / "s.json"
            grammar.write_text('root ::= "yes" | "no"')
            schema.write_text('{"const": [1, "a"]}')
            self.assertIn(run("-p", "the", "--grammar-file", grammar).stdout, (b"yes\n", b"no\n"))
            self.assertEqual(run("-p", "the", "--json-schema-file", schema).stdout, b'[1,"a"]\n')
            grammar.write_text("root ::= yes")
            schema.write_text('{"not": {}}')
            for args, status, words in (
                    (["--grammar-file", grammar], 2, "rule 'yes' found, which is not defined"),
                    (["--json-schema-file", schema], 1, "#: keyword 'not' found"),
                    (["--grammar", "x"], 2, "expected '::='"),
                    (["-j", "{"], 1, "not valid JSON")):
                self.assertIn(words, run("-p", "the", *args, status=status).stderr.decode())
        run("-p", "the", "--grammar", "root ::= [a-z]", "-j", "{}", status=2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
