#!/usr/bin/env python3
"""bench/: measuring, refusing what is half written, and the READMEs' table. bench_test.py TERN"""

import copy
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TERN = str(Path(sys.argv.pop(1)).resolve())
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import result_file  # noqa: E402


def script(name, *words):
    return subprocess.run([sys.executable, ROOT / "bench" / name, *map(str, words)],
                          capture_output=True, text=True, timeout=300)


class Bench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.out = cls.folder / "2000-01-01-here.json"
        run = script("measure.py", TERN, cls.out, "--quick", "--models", cls.folder)
        assert run.returncode == 0, run.stderr
        cls.document = result_file.read(cls.out)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_measures_every_row(self):
        self.assertEqual([p.name for p in self.folder.glob("*.gguf")], [])  # It was made for this.
        tiny = self.document["shapes"]["tiny"]
        self.assertEqual({(row["test"], row["threads"]) for row in tiny["results"]},
                         {(t, n) for t in ("pp16", "tg8", "npl2") for n in (1, 2)}
                         | {("tg4 @ d64", 2)})
        self.assertEqual(len(tiny["profiles"]), 6)

    def refused(self, word, change):
        broken = copy.deepcopy(self.document)
        change(broken)
        faults = " ".join(result_file.faults_of(broken))
        self.assertIn(word, faults)
        with self.assertRaises(ValueError):
            result_file.write(self.folder / "broken.json", broken)
        self.assertFalse((self.folder / "broken.json").exists())

    def test_refuses_half_a_result(self):
        def tiny(document):
            return document["shapes"]["tiny"]

        self.assertEqual(result_file.faults_of(self.document), [])
        self.refused("missing: tg4 @ d64 at 2", lambda d: tiny(d)["results"].pop())
        self.refused("asked missing", lambda d: tiny(d).pop("asked"))
        self.refused("expected the 0", lambda d: tiny(d).update(asked=[], results=[]))
        self.refused("tokens_per_second", lambda d: tiny(d)["results"][0].update(
            tokens_per_second=float("nan")))
        self.refused("barrier_seconds", lambda d: tiny(d)["results"][-1].update(barrier_seconds=0))
        self.refused("kv_bytes", lambda d: tiny(d)["load"].pop("kv_bytes"))
        self.refused("no shape", lambda d: d.update(shapes={}))
        self.refused("version 1", lambda d: d.update(version=2))
        half = self.folder / "half.json"
        half.write_text(json.dumps(self.document)[:-40], encoding="utf-8")
        run = script("measure.py", TERN, half, "--quick", "--models", self.folder)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (1, 1), run.stderr)
        self.assertIn("no whole JSON", run.stderr)
        self.assertIn("huge", script("measure.py", TERN, half, "--shapes", "huge").stderr)

    def test_another_machine_is_not_merged(self):
        other = copy.deepcopy(self.document)
        other["cpu"] = "Another CPU"
        path = self.folder / "other.json"
        result_file.write(path, other)
        before = path.read_bytes()
        run = script("measure.py", TERN, path, "--quick", "--models", self.folder)
        self.assertEqual(run.returncode, 1)
        self.assertIn("Another CPU", run.stderr)
        self.assertEqual(path.read_bytes(), before)

    def test_table(self):
        for name in ("README.md", "README.ja.md"):
            readme = self.folder / name
            begin, end = "before\n<!-- bench/readme_table.py -->\n", "<!-- end -->\nafter\n"
            readme.write_text(begin + "| old |\n" + end, encoding="utf-8")
            check = ("readme_table.py", "--check", "--results", self.out, readme)
            differs = script(*check)
            self.assertEqual(differs.returncode, 1)
            self.assertIn("-| old |", differs.stderr)
            self.assertIn("| old |", readme.read_text(encoding="utf-8"))
            self.assertEqual(script("readme_table.py", "--results", self.out, readme).returncode, 0)
            self.assertEqual(script(*check).returncode, 0)
            text = readme.read_text(encoding="utf-8")
            self.assertTrue(text.startswith(begin) and text.endswith(end))
            row = self.document["shapes"]["tiny"]["results"][0]
            self.assertIn(f"| tiny | 1 | {row['tokens_per_second']:.1f} | {row['int8_share']:.2f} |",
                          text)
            readme.write_text(text.replace("| tiny | 1 |", "| tiny | 1 | 1"), encoding="utf-8")
            self.assertEqual(script(*check).returncode, 1)
            readme.write_text("nothing\n", encoding="utf-8")
            self.assertIn("0 places", script(*check).stderr)

    def test_peers_stand_beside(self):
        other = copy.deepcopy(self.document)
        other["shapes"]["tiny"]["results"][0]["peer"] = {"ratio": 1.234}
        path, readme = self.folder / "peer.json", self.folder / "PEER.md"
        result_file.write(path, other)
        readme.write_text("<!-- bench/readme_table.py -->\n<!-- end -->\n", encoding="utf-8")
        self.assertEqual(script("readme_table.py", "--results", path, readme).returncode, 0)
        self.assertIn(" (1.23×) |", readme.read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
