#!/usr/bin/env python3
"""The commands as users type them: exit statuses, JSON shapes, sentences. cli_test.py TERN

Makes a tiny random model (make_tiny_model.py) in a temporary folder. Needs only Python itself.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TERN = str(Path(sys.argv.pop(1)).resolve())
HERE = Path(__file__).resolve().parent


def tern(*args, stdin="", env=None):
    return subprocess.run([TERN, *map(str, args)], input=stdin, capture_output=True, text=True,
                          timeout=120, env={**os.environ, **(env or {})})


def names(folder):
    return sorted(p.name for p in Path(folder).iterdir())


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.model = cls.folder / "model"
        subprocess.run([sys.executable, HERE / "make_tiny_model.py", cls.model], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def fails(self, status, words, *args, **kwargs):
        """The command fails with one sentence on stderr that holds all the words."""
        result = tern(*args, **kwargs)
        self.assertEqual(result.returncode, status, result.stderr)
        last = result.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("tern: "), last)
        for word in words:
            self.assertIn(word, last)
        return result

    def output(self, *args, **kwargs):
        result = tern(*args, **kwargs)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def json(self, *args, **kwargs):
        return json.loads(self.output(*args, **kwargs))

    def test_statuses(self):
        self.assertEqual(tern().returncode, 2)
        self.assertIn("run", self.output("--help"))
        self.assertIn("tern 0.", self.output("--version"))
        self.fails(2, ["unknown command 'fly'", "run"], "fly")
        self.fails(2, ["--json", "-p"], "run", self.model, "--json")
        self.fails(2, ["--no-such"], "run", self.model, "--no-such")
        self.fails(2, ["--tokens"], "score", self.model)
        self.fails(1, ["missing.gguf"], "run", "missing.gguf", "-p", "x")
        for command in ("run", "score", "tokenize", "inspect", "convert", "verify", "synth",
                        "bench", "cpu", "completion", "list"):
            self.assertIn("--help", self.output(command, "--help"), command)

    def test_run(self):
        run = ("run", self.model, "-p", "the", "-n", 12, "--temp", 0, "--ignore-eos")
        result = self.json(*run, "--json")
        self.assertEqual(sorted(result), ["generate_tps", "generated_tokens", "prompt_tokens",
                                          "prompt_tps", "stop_reason", "text", "tokens"])
        self.assertEqual(result["stop_reason"], "length")
        self.assertEqual(result["generated_tokens"], 12)
        self.assertEqual(self.output(*run), result["text"] + "\n")
        for more in (["-t", 1], ["-t", 3], ["-b", 1]):
            self.assertEqual(self.json(*run, "--json", *more)["tokens"], result["tokens"])
        drawn = ("run", "-m", self.model, "-p", "", "-n", 20, "-s", 5, "--json")
        self.assertEqual(self.json(*drawn)["tokens"], self.json(*drawn)["tokens"])
        anew = ("run", self.model, "-p", "", "-n=40", "-s=-1", "--ignore-eos", "--json")
        self.assertNotEqual(self.json(*anew)["tokens"], self.json(*anew)["tokens"])
        self.assertEqual(self.json(*anew)["generated_tokens"], 40)
        self.assertEqual(self.json(*run, "--json", env={"TERN_N_PREDICT": "3"})["tokens"],
                         result["tokens"])  # A flag outweighs its variable.
        self.assertEqual(self.json("run", self.model, "-p", "the", "--temp", 0, "--json",
                                   env={"TERN_N_PREDICT": "3"})["generated_tokens"], 3)

    def test_run_ends(self):
        run = ("run", self.model, "-p", "the", "--temp", 0, "--ignore-eos", "--json")
        full = self.json(*run, "-c", 16)
        self.assertEqual(full["stop_reason"], "context_full")
        # The last token need not go back into the context: 16 positions and one token more.
        self.assertEqual(full["prompt_tokens"] + full["generated_tokens"], 17)
        text = self.json(*run, "-n", 12)["text"]
        stop = text[4:6]
        stopped = self.json(*run, "-n", 12, "--stop", stop)
        self.assertEqual(stopped["stop_reason"], "stop")
        self.assertEqual(stopped["text"], text[:text.index(stop)])
        self.fails(1, ["context of 4"], "run", self.model, "-p", "a long prompt", "-c", 4)
        self.fails(2, ["top-p", "2"], "run", self.model, "-p", "x", "--top-p", 2)
        self.fails(2, ["ctx-size", "-1"], "run", self.model, "-p", "x", "-c", -1)
        self.fails(2, ["f64"], "run", self.model, "-p", "x", "-ctk", "f64")

    def test_interrupt_ends_cleanly(self):
        process = subprocess.Popen([TERN, "run", self.model, "-p", "the", "--ignore-eos"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"interrupted", errors)

    def test_score(self):
        text = self.json("score", self.model, "-p", "the island", "--json", "--top", 2)
        count = len(text["tokens"])
        self.assertEqual([len(text[k]) for k in ("pieces", "logprobs", "top")], [count] * 3)
        self.assertIsNone(text["logprobs"][0])
        self.assertEqual(sorted(text["top"][1][0]), ["logprob", "piece", "token"])
        self.assertGreaterEqual(text["top"][1][0]["logprob"], text["top"][1][1]["logprob"])
        ids = ",".join(map(str, text["tokens"]))
        for more in ([], ["-b", 1], ["-t", 1]):
            same = self.json("score", self.model, "--tokens", ids, "--json", *more)
            self.assertEqual(same["logprobs"], text["logprobs"])
        requests = self.folder / "requests.jsonl"
        requests.write_text(json.dumps({"prompt": "the island", "top": 1}) + "\n\n" +
                            json.dumps({"tokens": text["tokens"]}) + "\n")
        answers = [json.loads(line) for line in
                   self.output("score", self.model, "--jsonl", requests).splitlines()]
        self.assertEqual([a["logprobs"] for a in answers], [text["logprobs"]] * 2)
        self.assertEqual(len(answers[0]["top"][1]), 1)
        requests.write_text('{"prompt": "x"}\n{"text": "y"}\n')
        self.fails(1, ["requests.jsonl line 2", "prompt"], "score", self.model, "--jsonl", requests)
        requests.write_text('{"tokens": [1, 99999]}\n')
        self.fails(1, ["requests.jsonl line 1", "99999"], "score", self.model, "--jsonl", requests)
        requests.write_text('{"tokens": [1]}\n' + json.dumps({"tokens": [1] * 5000}) + "\n")
        self.fails(1, ["requests.jsonl line 2", "5000"], "score", self.model, "--jsonl", requests)
        self.fails(1, [str(self.model), "token id 99999", "vocabulary"], "score", self.model,
                   "--tokens", "1,99999")
        self.fails(1, [str(self.model), "5000"], "score", self.model, "--tokens",
                   ",".join(["1"] * 5000))
        self.fails(1, ["avx9"], "score", self.model, "--tokens", "1", env={"TERN_ISA": "avx9"})

    def test_trace(self):
        trace = self.folder / "trace.safetensors"
        self.output("score", self.model, "--tokens", "1,2,3", "--trace", trace, "--json")
        data = trace.read_bytes()
        header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
        self.assertEqual(header["tokens"]["shape"], [3])
        self.assertEqual(header["layers.1.down.q8"]["dtype"], "I8")
        self.assertIn("logits", header)

    def test_tokenize(self):
        found = self.json("tokenize", self.model, "-p", "the 日本", "--json")
        self.assertEqual("".join(found["pieces"])[:4], "the ")
        ids = ",".join(map(str, found["tokens"]))
        self.assertEqual(self.output("tokenize", self.model, "--decode", ids), "the 日本\n")
        bos = self.json("tokenize", self.model, "-p", "the 日本", "--json", "--bos")
        self.assertEqual(bos["tokens"][1:], found["tokens"])
        self.assertEqual(self.json("tokenize", self.model, "--json", stdin="the 日本"), found)
        alone = self.folder / "alone"
        alone.mkdir()
        shutil.copy(self.model / "tokenizer.json", alone)
        self.assertEqual(self.json("tokenize", alone, "-p", "the 日本", "--json"), found)
        self.fails(1, ["id", "vocabulary"], "tokenize", self.model, "--decode", "1,99999")

    def test_convert_inspect_verify(self):
        for kind in ("TQ1_0", "TQ2_0", "I2_S", "IQ2_BN"):
            out = self.folder / f"{kind}.gguf"
            self.output("convert", self.model, out, "--type", kind)
            self.assertIn(kind, self.output("inspect", out))
            self.assertIn("architecture", self.json("inspect", out, "--json"))
        verified = tern("verify", self.folder / "I2_S.gguf")
        self.assertIn("kernels    pass", verified.stdout)
        before = names(self.folder)
        self.fails(2, ["TQ9"], "convert", self.model, self.folder / "bad.gguf", "--type", "TQ9")
        self.fails(1, [], "convert", self.model, self.folder / "none" / "bad.gguf")
        self.assertEqual(names(self.folder), before)
        broken = self.folder / "broken.gguf"
        broken.write_bytes((self.folder / "I2_S.gguf").read_bytes()[:-100])
        self.fails(1, ["broken.gguf"], "run", broken, "-p", "x")

    def test_shipped_models(self):
        """en, the default, and ja: share/tern/models beside bin; a file or folder of the name wins."""
        prefix = self.folder / "prefix"
        for part in ("bin", "share/tern/models", "empty", "own"):
            (prefix / part).mkdir(parents=True)
        shutil.copy(TERN, prefix / "bin")
        models = prefix / "share" / "tern" / "models"

        def there(*words, folder="empty"):
            return subprocess.run([prefix / "bin" / "tern", *words], capture_output=True,
                                  text=True, cwd=prefix / folder, timeout=120)

        for words in (["run", "-p", "x"], ["score", "-p", "x"], ["inspect"], ["verify"],
                      ["tokenize", "-p", "x"], ["bench"], ["run", "ja", "-p", "x"],
                      ["inspect", "-m", "ja"]):
            missing = there(*words)
            self.assertEqual((missing.returncode, missing.stdout), (1, ""), words)
            self.assertEqual(missing.stderr.count("\n"), 1, missing.stderr)
            name = "ja" if "ja" in words else "en"
            self.assertIn(f"{models}/{name}.gguf", missing.stderr)
        self.assertIn("fr: ", there("run", "fr", "-p", "x").stderr)
        self.output("convert", self.model, models / "en.gguf")
        self.output("convert", self.model, models / "ja.gguf", "--type", "I2_S")
        for words, kind in ((["inspect"], "TQ2_0"), (["inspect", "en"], "TQ2_0"),
                            (["inspect", "ja"], "I2_S"), (["inspect", "-m", "ja"], "I2_S")):
            shown = there(*words)
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertIn(kind, shown.stdout)
        for words in (["run", "-p", "the", "-n", "2"], ["run", "ja", "-p", "the", "-n", "2"],
                      ["score", "ja", "-p", "the"], ["tokenize", "-p", "the"],
                      ["bench", "-p", "4", "-n", "2", "-r", "1"]):
            done = there(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout)
        shutil.copytree(self.model, prefix / "own" / "ja")
        self.assertIn("HF safetensors", there("inspect", "ja", folder="own").stdout)

    def test_train_starts_the_programs_beside_tern(self):
        place = self.folder / "bin"
        place.mkdir()
        shutil.copy(TERN, place / "tern")

        def beside(*words):
            return subprocess.run([place / "tern", *words], capture_output=True, text=True)

        for words in (["train", "x.toml"], ["train", "report", "r"], ["train", "--help"],
                      ["tokenizer", "train", "f"]):
            missing = beside(*words)
            self.assertEqual((missing.returncode, missing.stdout), (1, ""))
            self.assertEqual(missing.stderr.count("\n"), 1)
            program = "tern-tokenizer" if words[0] == "tokenizer" else "tern-train"
            for word in ("without the trainer", str(place / program), "-DTERN_TRAIN=ON"):
                self.assertIn(word, missing.stderr)
        for name in ("tern-train", "tern-tokenizer"):
            (place / name).write_text('#!/bin/sh\nprintf "<%s>" "${0##*/}" "$@"\nexit 7\n')
        refused = beside("train", "x")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("tern-train: cannot start it: Permission denied", refused.stderr)
        for name in ("tern-train", "tern-tokenizer"):
            (place / name).chmod(0o755)
        for words, seen in ((["train", "a b.toml", "--set", "x=1"],
                             "<tern-train><train><a b.toml><--set><x=1>"),
                            (["train", "report", "r1", "r2"], "<tern-train><report><r1><r2>"),
                            (["train", "--help"], "<tern-train><train><--help>"),
                            (["tokenizer", "train", "f", "--size", "9"],
                             "<tern-tokenizer><train><f><--size><9>"),
                            (["tokenizer", "--help"], "<tern-tokenizer><--help>")):
            started = beside(*words)
            self.assertEqual((started.returncode, started.stdout), (7, seen))

    def test_synth_and_bench(self):
        out = self.folder / "tiny.gguf"
        self.output("synth", "--shape", "tiny", out)
        self.assertEqual(tern("verify", out).returncode, 0)
        self.assertIn("| tg4", self.output("bench", "--shape", "tiny", "-p", 0, "-n", 4, "-r", 1))
        self.fails(2, ["--shape"], "bench", out, "--shape", "tiny")
        self.fails(2, ["huge", "bitnet-2b4t"], "synth", "--shape", "huge", self.folder / "x.gguf")

    def test_bench_rows(self):
        out = self.folder / "bench.gguf"
        self.output("synth", "--shape", "tiny", out)
        result = self.json("bench", out, "-p", "8,0", "-n", 4, "-d", "70,0", "-npl", 3, "-r", 2,
                           "-t", "1,2", "-o", "json", "--profile")
        tests = ["pp8", "tg4", "pp8 @ d70", "tg4 @ d70", "npl3"]
        rows = result["results"]
        self.assertEqual([(r["test"], r["threads"]) for r in rows],
                         [(t, n) for n in (1, 2) for t in tests])
        per_token = result["bytes_per_token"]
        macs = result["ternary_macs_per_token"]
        kv = 2 * 2 * 256 * 2  # Bytes of a position: layers, keys and values, 2 heads of 128, f16.
        costs = {"pp8": (per_token + 8 * kv, 8 * macs),
                 "tg4": (4 * per_token + (1 + 2 + 3 + 4) * kv, 4 * (macs + 512 * 512)),
                 "pp8 @ d70": (per_token + 78 * kv, 8 * macs),
                 "tg4 @ d70": (4 * per_token + (71 + 72 + 73 + 74) * kv, 4 * (macs + 512 * 512)),
                 "npl3": (32 * per_token + 3 * kv * sum(range(65, 97)),
                          3 * 32 * (macs + 512 * 512))}
        passes = {"p": 1, "t": 4, "n": 32}
        for row in rows:
            least, macs_needed = costs[row["test"]]
            self.assertEqual(row["macs"], macs_needed, row["test"])
            # On top of what its screen always reads: the rows of the head that it had to look at.
            self.assertGreaterEqual(row["bytes"], least, row["test"])
            self.assertLess(row["bytes"], least + passes[row["test"][0]] * 512 * 512, row["test"])
            samples, tokens = row["samples"], {"p": 8, "t": 4, "n": 96}[row["test"][0]]
            self.assertEqual(len(samples), 2)
            self.assertAlmostEqual(row["tokens_per_second"], sum(samples) / 2, 3)
            self.assertEqual(row["barrier_seconds"] > 0, row["threads"] > 1)
            self.assertEqual(row["pool_run_seconds"] > 0, row["threads"] > 1)
            # The shares are those of time and ceilings: near the means', as both drift.
            for share, cost, ceiling in (("read_share", row["bytes"], "read_bytes_per_second"),
                                         ("int8_share", row["macs"], "int8_macs_per_second")):
                about = cost / tokens * row["tokens_per_second"] / row[ceiling]
                self.assertTrue(about / 4 < row[share] < about * 4, (row, about))
            main = "read_share" if row["test"].startswith("tg") else "int8_share"
            self.assertEqual(row["share_of_ceiling"], row[main])
            self.assertNotIn("peer", row)
        load = result["load"]
        self.assertEqual({row["layout"] for row in result["results"]}, {load["layout"]})
        self.assertEqual((load["threads"], load["page_cache"], len(load["samples"])), (2, True, 2))
        self.assertEqual(load["kv_bytes"], (70 + 1) * kv)  # The largest depth and a token.
        self.assertGreater(load["weight_bytes"], per_token - 1)
        self.assertGreater(load["peak_resident_bytes"], load["weight_bytes"])
        self.assertEqual([p["test"] for p in result["profiles"]], tests * 2)
        for profile in result["profiles"]:
            *parts, whole = profile["per_token"]
            self.assertEqual(whole["name"], "all")
            for figure in ("seconds", "share", "bytes", "macs", "floor_seconds"):
                self.assertAlmostEqual(whole[figure] / sum(p[figure] for p in parts), 1, 6)
            self.assertLess({"norm", "quantize", "qkv", "attention", "o", "gate_up", "down", "head"},
                            {p["name"] for p in parts})

    def test_bench_outputs(self):
        bench = ("bench", self.model, "-p", 4, "-n", 2, "-r", 1, "-t", 2)
        text = self.output(*bench, "-d", 3, "-npl", "1,2", "--profile")
        for word in ("| pp4 @ d3 ", "| tg2 @ d3 ", "| npl1 ", "| npl2 ", "| barrier ns |",
                     "Loading took", "| gate_up ", "times the floor", "± "):
            self.assertIn(word, text)
        self.assertNotIn("Peers", text)
        four = self.json(*bench, "-o", "json", "--layout", "four")
        self.assertEqual([row["layout"] for row in four["results"]], ["four"] * 2)
        if self.json(*bench, "-o", "json")["load"]["layout"] == "five":
            both = self.json(*bench, "-o", "json", "--layout", "five,four")
            self.assertEqual([row["layout"] for row in both["results"]], ["five"] * 2 + ["four"] * 2)
            self.assertLess(both["load"]["weight_bytes"], both["more_loads"][0]["weight_bytes"])
        else:
            self.fails(2, ["--layout five", "expected four"], *bench, "--layout", "five")
        header, *lines = self.output(*bench, "-o", "csv", "-npl", 2).splitlines()
        names = header.split(",")
        rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
        self.assertEqual([r["test"] for r in rows], ["pp4", "tg2", "npl2"])
        for row in rows:
            self.assertEqual((row["threads"], row["peer"]), ("2", ""))
            self.assertGreater(float(row["read_gb_s"]), 0)
        # An instruction set that is named is the one that is timed.
        self.assertEqual(self.json(*bench, "-o", "json", env={"TERN_ISA": "scalar"})["kernels"],
                         "scalar")

    def test_bench_stands_beside_peers(self):
        bench = ("bench", "--shape", "bitnet-700m", "-p", 0, "-n", "128,1", "-r", 1, "-t", 2)
        result = self.json(*bench, "-o", "json")
        self.assertEqual(result["shape"], "bitnet-700m")
        self.assertIn("ik_llama.cpp", result["peers_source"])
        known, unknown = result["results"]
        peer = known["peer"]
        self.assertEqual((peer["engine"], peer["tokens_per_second"]), ("ik_llama.cpp", 111))
        scaled = 111 * known["read_bytes_per_second"] / 46e9
        self.assertAlmostEqual(peer["scaled"] / scaled, 1, 9)
        self.assertAlmostEqual(peer["ratio"] * scaled / known["tokens_per_second"], 1, 9)
        self.assertNotIn("peer", unknown)  # Nobody was measured at one token.

    def test_bench_refuses(self):
        self.fails(2, ["-p 0", "-npl"], "bench", self.model, "-p", 0, "-n", 0)
        self.fails(2, ["--profile", "csv"], "bench", self.model, "--profile", "-o", "csv")
        self.fails(2, ["f64"], "bench", self.model, "-ctk", "f64")
        self.fails(2, ["--n-prompt", "x"], "bench", self.model, "-p", "4,x")
        self.fails(2, ["--n-depth", "-1"], "bench", self.model, "-d=-1")
        self.fails(2, ["--threads", "0"], "bench", self.model, "-t", 0)
        self.fails(2, ["--output", "xml"], "bench", self.model, "-o", "xml")
        self.fails(1, ["context of", "positions"], "bench", self.model, "-d", 1 << 20)
        self.fails(1, ["missing.gguf"], "bench", "missing.gguf")
        self.fails(2, ["huge", "bitnet-2b4t"], "bench", "--shape", "huge")


if __name__ == "__main__":
    unittest.main()
