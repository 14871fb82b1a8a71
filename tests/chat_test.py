#!/usr/bin/python3
"""Chat templates as python3-jinja2 renders them: chance pieces of Jinja, and real templates.

Usage: chat_test.py CHAT_RENDER. 77 where python3-jinja2 is not. The real templates are those of the
tokenizer_config.json and *.jinja files under TERN_TEST_DATA; without it that part is left out.
"""

import json
import os
import random
import subprocess
import sys
import unittest
from pathlib import Path

try:
    import chat_oracle
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

import chat_snippets
import make_chat_goldens

RENDER = str(Path(sys.argv.pop(1)).resolve()) if len(sys.argv) > 1 else ""


def rendered(requests):
    """What tern makes of (template, variables) pairs."""
    text = "".join(json.dumps({"template": source, "variables": variables}) + "\n"
                   for source, variables in requests)
    run = subprocess.run([RENDER], input=text, capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in run.stdout.split("\n")[:-1]]


# What templates are put together from: expressions of few parts, joined by chance.
LEAVES = ["1", "0", "-2", "2.5", "true", "none", "''", "'aXbX'", "' é\\n'", "[]", "[3, 'x', none]", "(1, 2)",
          "{'a': 1, 'b': [2]}", "{}", "missing", "s", "n", "f", "l", "d", "ja", "people", "mixed",
          "range(3)|list", "people[0]", "words"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
SUFFIXES = ["|length", "|upper", "|lower", "|trim", "|title", "|capitalize", "|string", "|int", "|float",
            "|list", "|first", "|last", "|join", "|join('-')", "|sort", "|reverse|list", "|unique|list",
            "|abs", "|round", "|round(1)", "|tojson", "|tojson(indent=1)", "|default('D')",
            "|default(0, true)", "|items|list", "|dictsort", "|sum", "|min", "|max", "|e", "|indent",
            "|replace('X', 'é')", "|map('string')|list", "|select|list", "|reject('none')|list",
            "|map(attribute='name')|list", "|selectattr('ok')|list", "|count",
            "[0]", "[-1]", "['a']", "[1:]", "[::-1]", "[:2]", "[-2::2]", "['name']", ".a", ".name", ".b[0]",
            ".upper()", ".strip()", ".split('X')", ".split()", ".items()|list", ".get('a')", ".keys()|list",
            ".startswith('a')", ".find('b')", ".count('X')", " is defined", " is string", " is mapping",
            " is iterable", " is sequence", " is none", " is number", " is odd", " is in [1, 's', none]"]


def expression(random_, depth):
    if depth == 0 or random_.random() < 0.15:
        return random_.choice(LEAVES)
    way = random_.random()
    if way < 0.55:
        return f"({expression(random_, depth - 1)}){random_.choice(SUFFIXES)}"
    if way < 0.85:
        left, right = expression(random_, depth - 1), expression(random_, depth - 1)
        return f"({left}) {random_.choice(BINARY)} ({right})"
    if way < 0.93:
        parts = [expression(random_, depth - 1) for _ in range(3)]
        return f"({parts[0]}) if ({parts[1]}) else ({parts[2]})"
    return f"not ({expression(random_, depth - 1)})"


BLANKS = ["", " ", "\n", "  \n", "\t", "\n\n ", " x ", "y"]
PIECES = ["{{%s n %s}}", "{%%%s if t %s%%}", "{#%s c %s#}", "{%%%s set q = 1 %s%%}", "{%%%s raw %s%%} {{ {%% endraw %%}"]


def layout(random_):
    """White space around tags with every sign."""
    text, open_ifs = random_.choice(BLANKS), 0
    for _ in range(random_.randint(1, 7)):
        piece = random_.choice(PIECES)
        end = random_.choice(["", "-"] if piece[1] == "{" or " raw" in piece else ["", "-", "+"])
        text += piece % (random_.choice(["", "-", "+"]), end) + random_.choice(BLANKS)
        open_ifs += " if t" in piece
    return text + "{% endif %}\n" * open_ifs + random_.choice(BLANKS)


class ChatTemplates(unittest.TestCase):
    def compare(self, requests, allowed=()):
        """Equal texts; refusals where Python refuses. `allowed`: tern may say that it is not known."""
        both = 0
        for (source, variables), mine in zip(requests, rendered(requests), strict=True):
            python = chat_oracle.render(source, variables)
            with self.subTest(source=source, python=python, tern=mine):
                if any(word in mine.get("error", "") for word in allowed):
                    continue
                if "output" in python:
                    self.assertEqual(mine, python)
                    both += 1
                elif "raised" in python:
                    self.assertEqual(mine.get("error"), python["raised"])
                else:
                    self.assertIn("error", mine)
        return both

    def test_chance_expressions(self):
        # Jinja2 folds constants with other rules for slices than it renders with: 1[2:] is undefined.
        random_ = random.Random(20240706)
        requests = [("{{ %s }}" % expression(random_, random_.randint(1, 4)), chat_snippets.VARIABLES)
                    for _ in range(6000)]
        self.assertGreater(self.compare(requests, allowed=("not known", "beyond 64 bits",
                                                            "cannot be sliced")), 1500)

    def test_chance_layouts(self):
        random_ = random.Random(4)
        requests = [(layout(random_), chat_snippets.VARIABLES) for _ in range(3000)]
        self.assertEqual(self.compare(requests), 3000)

    def test_the_models_own_templates(self):
        if "TERN_TEST_DATA" not in os.environ:
            self.skipTest("TERN_TEST_DATA is not set")
        templates = {}
        root = Path(os.environ["TERN_TEST_DATA"])
        for path in root.rglob("tokenizer_config.json"):
            found = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
            for entry in found if isinstance(found, list) else [{"name": "default", "template": found}]:
                if entry["template"]:
                    templates[f"{path}: {entry['name']}"] = entry["template"]
        for path in root.rglob("*.jinja"):
            templates[str(path)] = path.read_text(encoding="utf-8")
        self.assertTrue(templates)
        for name, source in templates.items():
            requests = []
            for messages in make_chat_goldens.CONVERSATIONS.values():
                for more in make_chat_goldens.WAYS.values():
                    requests.append((source, {"messages": messages, "tools": None, "documents": None,
                                              "bos_token": "<s>", "eos_token": "</s>", **more}))
            with self.subTest(name=name):
                self.assertGreater(self.compare(requests), len(requests) // 2)


if __name__ == "__main__":
    unittest.main()
