#!/usr/bin/env python3
"""The trainer as its users meet it: vocabulary, run, kill, resume, guards, report.

Usage: train_test.py TERN     (tern-train and tern-tokenizer lie beside it)
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TERN = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
STEPS = 60
TIMES = ("seconds", "tokens_per_second")


def tern(*words, **more):
    return subprocess.run([TERN, *map(str, words)], capture_output=True, text=True, timeout=300,
                          **more)


def make_text(seed, stories):
    """Sentences of a small grammar: a model can learn them in seconds."""
    draw = random.Random(seed)
    who = ["the cat", "a small dog", "Anna", "the old man", "my sister"]
    does = ["sees", "finds", "likes", "draws", "hides"]
    what = ["a red ball", "the moon", "two birds", "a long letter", "7 apples", "ねこ"]
    story = lambda: " ".join(f"{draw.choice(who)} {draw.choice(does)} {draw.choice(what)}."
                             for _ in range(draw.randint(3, 9)))
    return "\n<|end|>\n".join(story() for _ in range(stories)) + "\n"


CONFIG = """
[model]
architecture = "bitnet-b1.58"
weights = "b1.58"
hidden = 32
ffn = 64
layers = 2
heads = 4
kv_heads = 2
[tokenizer]
path = "vocabulary"
[data]
train = ["text.txt"]
separator = "<|end|>"
holdout = 0.05
[training]
out = "run"
seed = 5
sequence = 32
batch = 2
accumulate = 2
tokens = {tokens}
threads = 1
[schedule]
learning_rate = 6e-3
second_learning_rate = 4e-3
warmup_steps = 5
[evaluate]
every = 10
tokens = 512
sample_every = 20
sample_tokens = 12
prompts = ["the cat", "Anna"]
[checkpoint]
every = 7
keep = 2
"""


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.text = cls.folder / "text.txt"
        cls.text.write_text(make_text(1, 400))
        cls.config = cls.folder / "run.toml"
        cls.config.write_text(CONFIG.format(tokens=STEPS * 128))
        made = tern("tokenizer", "train", cls.text, "--size", 320, "--separator", "<|end|>",
                    "--coverage", 1.0, "--out", cls.folder / "vocabulary")
        assert made.returncode == 0, made.stderr
        # What every other run is compared with.
        cls.whole = cls.folder / "whole"
        begun = time.monotonic()
        done = cls.start("whole")
        cls.seconds = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        cls.done = done

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def words(cls, name, *more):
        return ["train", cls.config, "--set", f"training.out={cls.folder / name}", *more]

    @classmethod
    def start(cls, name, *more, **how):
        return tern(*cls.words(name, *more), **how)

    def lines(self, name):
        """metrics.jsonl without what depends on the clock."""
        lines = []
        for line in (self.folder / name / "metrics.jsonl").read_text().splitlines():
            entry = json.loads(line)
            for key in TIMES:
                entry.pop(key, None)
            lines.append(entry)
        return lines

    def assert_same_run(self, name):
        expected, found = self.lines("whole"), self.lines(name)
        for a, b in zip(expected, found):
            self.assertEqual(a, b)
        self.assertEqual(len(expected), len(found))
        for link in ("latest", "best"):
            self.assertEqual(os.readlink(self.whole / "checkpoints" / link),
                             os.readlink(self.folder / name / "checkpoints" / link))
        newest = f"checkpoints/step-{STEPS:08}"
        for file in ("model.safetensors", "optimizer.safetensors"):
            self.assertEqual((self.whole / newest / file).read_bytes(),
                             (self.folder / name / newest / file).read_bytes(), file)

    def refused(self, run, *words):
        self.assertEqual((run.returncode, run.stdout), (1, ""), run.stderr)
        last = run.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("tern-train: "), run.stderr)
        for word in words:
            self.assertIn(str(word), last)

    def test_what_a_run_writes(self):
        lines = self.lines("whole")
        steps = [line for line in lines if line["kind"] == "step"]
        self.assertEqual([line["step"] for line in steps], list(range(1, STEPS + 1)))
        self.assertLess(steps[-1]["loss"], steps[0]["loss"] - 1)
        held = [line for line in lines if line["kind"] == "held_out"]
        self.assertEqual([line["step"] for line in held], list(range(0, STEPS + 1, 10)))
        self.assertLess(held[-1]["loss"], held[0]["loss"] - 1)
        final = [line for line in lines if line["kind"] == "final"]
        self.assertEqual(len(final), 1)
        self.assertIn(f"{final[0]['bits_per_byte']:.4f} bits per byte", self.done.stdout)
        layers = [line for line in lines if line["kind"] == "weights"][-1]["layers"]
        self.assertEqual(len(layers), 14)
        for layer in layers:
            self.assertAlmostEqual(layer["minus"] + layer["zero"] + layer["plus"], 1)
            self.assertGreater(layer["flipped"], 0)
        samples = [line for line in lines if line["kind"] == "sample"]
        self.assertEqual(len(samples), 2 * (STEPS // 20 + 1))
        kept = sorted(p.name for p in (self.whole / "checkpoints").iterdir())
        best = os.readlink(self.whole / "checkpoints/best")
        self.assertEqual(os.readlink(self.whole / "checkpoints/latest"), f"step-{STEPS:08}")
        self.assertLessEqual(len([n for n in kept if n.startswith("step-")]), 3)
        self.assertIn(best, kept)
        self.assertEqual([n for n in kept if n.startswith(".")], [])
        self.assertEqual(len(list(self.whole.glob("events.out.tfevents.*"))), 1)

    def test_bits_per_byte_is_the_loss_over_the_text(self):
        index = json.loads((self.whole / "data/index.json").read_text())
        held = index["splits"]["held_out"]
        final = [line for line in self.lines("whole") if line["kind"] == "final"][0]
        expected = final["loss"] / 0.6931471805599453 * held["tokens"] / held["text_bytes"]
        self.assertAlmostEqual(final["bits_per_byte"], expected, places=9)

    def test_every_command_reads_a_checkpoint(self):
        checkpoint = self.whole / "checkpoints/latest"
        prompt = "the cat likes the moon. Anna finds 7 apples."
        scored = json.loads(tern("score", checkpoint, "-p", prompt, "--json").stdout)
        gguf = self.folder / "whole.gguf"
        for words in (("verify", checkpoint), ("inspect", checkpoint),
                      ("convert", checkpoint, gguf, "--type", "F32"), ("verify", gguf)):
            done = tern(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
        again = json.loads(tern("score", gguf, "-p", prompt, "--json").stdout)
        self.assertEqual((again["tokens"], again["logprobs"]),
                         (scored["tokens"], scored["logprobs"]))
        written = tern("run", gguf, "-p", "the cat", "-n", 12, "--temp", 0)
        self.assertEqual(written.returncode, 0, written.stderr)
        # The held-out loss, told by the engine: the model has learnt the grammar.
        self.assertGreater(sum(scored["logprobs"][1:]) / (len(scored["logprobs"]) - 1), -3.5)

    def test_killed_at_any_moment_and_resumed(self):
        """While text is made, while steps run, while checkpoints are written: until three
        kills have hit one run."""
        draw = random.Random()
        for _ in range(20):
            shutil.rmtree(self.folder / "killed", ignore_errors=True)
            killed = 0
            while True:
                run = subprocess.Popen([TERN, *map(str, self.words("killed", "--resume"))],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    run.wait(draw.uniform(0.1, 0.7 * self.seconds) if killed < 5 else 300)
                except subprocess.TimeoutExpired:
                    run.send_signal(signal.SIGKILL)
                    killed += 1
                errors = run.communicate()[1]
                if run.returncode == 0:
                    break
                self.assertEqual(run.returncode, -signal.SIGKILL, errors)
            self.assert_same_run("killed")
            if killed >= 3:
                return
        self.fail("no run could be killed three times before its end")

    def signalled(self, name, step, number):
        """A run that got a signal after `step`, and its stderr: not by chance, however slow the
        machine is, so it is tried until the run had not ended before."""
        for _ in range(20):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            run = subprocess.Popen([TERN, *map(str, self.words(name))], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
            metrics = self.folder / name / "metrics.jsonl"
            while run.poll() is None and not (metrics.exists() and
                                              f'"step":{step},' in metrics.read_text()):
                time.sleep(0.001)
            run.send_signal(number)
            out, errors = run.communicate(timeout=100)
            if not out:
                return run.returncode, errors
        self.fail("no run could be stopped before its end")

    def test_killed_between_two_steps_and_resumed(self):
        # Behind a checkpoint, and before the first one.
        for step in (25, 2):
            name = f"behind-{step}"
            status, errors = self.signalled(name, step, signal.SIGKILL)
            self.assertEqual(status, -signal.SIGKILL, errors)
            done = self.start(name, "--resume")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_same_run(name)

    def test_signals_checkpoint_and_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            name = f"stopped-{number}"
            status, errors = self.signalled(name, 3, number)
            self.assertEqual(status, 0, errors)
            self.assertIn("the same command and --resume", errors)
            done = self.start(name, "--resume")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("going on from", done.stderr)
            self.assert_same_run(name)

    def test_links_are_mended(self):
        """A kill may come between a checkpoint and its links."""
        shutil.copytree(self.whole, self.folder / "links", symlinks=True)
        checkpoints = self.folder / "links/checkpoints"
        for link in ("latest", "best"):
            (checkpoints / link).unlink()
        done = self.start("links", "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_same_run("links")

    def test_one_process_per_run(self):
        run = subprocess.Popen([TERN, *map(str, self.words("taken", "--set",
                                                           "training.tokens=1e9"))],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = self.folder / "taken/metrics.jsonl"
        while run.poll() is None and not metrics.exists():
            time.sleep(0.01)
        self.refused(self.start("taken", "--resume"), self.folder / "taken", "another process")
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(100), 0)

    def test_a_vocabulary_in_the_runs_own_folder_stays(self):
        shutil.copytree(self.folder / "vocabulary", self.folder / "own/tokenizer")
        before = sorted(p.name for p in (self.folder / "own/tokenizer").iterdir())
        run = self.start("own", "--set", f"tokenizer.path={self.folder / 'own/tokenizer'}", "--set",
                         "training.tokens=1280")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(sorted(p.name for p in (self.folder / "own/tokenizer").iterdir()), before)

    def test_the_tokenizer_of_another_model(self):
        done = self.start("borrowed", "--set",
                          f"tokenizer.path={self.whole / 'checkpoints/latest'}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.lines("borrowed"), self.lines("whole"))

    def test_a_folder_that_holds_a_run_is_not_overwritten(self):
        before = (self.whole / "metrics.jsonl").read_bytes()
        self.refused(self.start("whole"), self.whole, "--resume")
        self.refused(self.start("whole", "--resume", "--set", "model.layers=3"), "model.layers")
        self.refused(self.start("whole", "--resume", "--set", "training.seed=6"), "training.seed")
        self.assertEqual((self.whole / "metrics.jsonl").read_bytes(), before)
        again = self.start("whole", "--resume")  # Finished already: says so again.
        self.assertEqual((again.returncode, again.stdout), (0, self.done.stdout))
        self.assertEqual((self.whole / "metrics.jsonl").read_bytes(), before)

    def test_another_vocabulary_does_not_fit(self):
        other = self.folder / "other"
        made = tern("tokenizer", "train", self.text, "--size", 300, "--out", other,
                    "--coverage", 0.99)
        self.assertEqual(made.returncode, 0, made.stderr)
        shutil.copytree(self.whole, self.folder / "fits", symlinks=True)
        self.refused(self.start("fits", "--resume", "--set", f"tokenizer.path={other}"),
                     "model.embed_tokens.weight", "300x32", "320x32")
        text = self.folder / "other.txt"
        text.write_text("".join(chr(97 + i * 7 % 26) + " " * (i % 3) for i in range(20000)))
        same_size = self.folder / "same-size"
        made = tern("tokenizer", "train", text, "--size", 320, "--out", same_size)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.refused(self.start("fits", "--resume", "--set", f"tokenizer.path={same_size}"),
                     "tokens of the text", "same text and vocabulary")
        done = self.start("fits", "--resume")
        self.assertEqual((done.returncode, done.stdout),
                         (0, self.done.stdout.replace("whole", "fits")), done.stderr)

    def test_refusals(self):
        for words, seen in ((("--set", "model.hiden=3"), ("model.hiden", "model.hidden")),
                            (("--set", "training.tokens=0"), ("tokens", "minutes")),
                            (("--set", "data.train=nowhere.txt"), ("nowhere.txt",)),
                            (("--set", "training.batch=60000"), ("tokens", "one step")),
                            (("--set", "tokenizer.path=nowhere"), ("nowhere",))):
            run = self.start("refused", *words)
            self.refused(run, *seen)
        self.refused(tern("train", self.folder / "none.toml"), "none.toml")

    def poison(self, name, value):
        """A copy of the whole run, as of an earlier step, with `value` as a gain in layer 1."""
        copy = self.folder / name
        stopped = self.start(name, "--set", "training.tokens=1280")
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        file = copy / "checkpoints/latest/model.safetensors"
        data = bytearray(file.read_bytes())
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        begin = header["model.layers.1.mlp.ffn_sub_norm.weight"]["data_offsets"][0]
        data[8 + size + begin:8 + size + begin + 4] = struct.pack("<f", value)
        file.write_bytes(data)
        return copy

    def test_a_loss_that_is_not_finite_stops_the_run(self):
        copy = self.poison("poisoned", float("nan"))
        before = sorted(p.name for p in (copy / "checkpoints").iterdir())
        self.refused(self.start("poisoned", "--resume"), "step 11", "nan", "model.layers.1",
                     "model.layers.1.mlp.ffn_sub_norm.weight is not finite", "nothing was saved")
        self.assertEqual(sorted(p.name for p in (copy / "checkpoints").iterdir()), before)

    def test_what_is_good_is_saved_before_the_run_stops(self):
        """A gain of 3e38 is finite, what the model makes of it is not."""
        copy = self.poison("huge", 3e38)
        self.refused(self.start("huge", "--resume"), "step 11", "model.layers.1", "is saved in",
                     "learning rate")
        left = json.loads((copy / "checkpoints/latest/trainer.json").read_text())
        self.assertEqual(left["step"], 10)

    def test_spikes_are_counted_and_skipped(self):
        done = self.start("spiky", "--set", "guards.spike=0.2", "--set",
                          "schedule.learning_rate=2", "--set", "schedule.second_learning_rate=2")
        self.assertEqual(done.returncode, 0, done.stderr)
        steps = [line for line in self.lines("spiky") if line["kind"] == "step"]
        skipped = [line for line in steps if line["skipped"]]
        self.assertGreater(len(skipped), 0)
        self.assertIn(f"{len(skipped)} steps were skipped", done.stderr)
        self.assertEqual(json.loads((self.folder / "spiky/checkpoints/latest/trainer.json")
                                    .read_text())["skipped"], len(skipped))

    def test_a_full_disk_loses_no_checkpoint(self):
        """A limit on file sizes stands in for it: writing fails in the middle of a checkpoint."""
        run = self.start("full", "--set", "training.tokens=1280")
        self.assertEqual(run.returncode, 0, run.stderr)
        model = self.folder / "full/checkpoints/latest/model.safetensors"

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            size = model.stat().st_size + 1000  # The optimizer's file is twice as large.
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        before = sorted(p.name for p in (self.folder / "full/checkpoints").iterdir())
        stopped = self.start("full", "--resume", preexec_fn=limit, restore_signals=False)
        self.refused(stopped, "optimizer.safetensors", "cannot write")
        self.assertEqual(sorted(p.name for p in (self.folder / "full/checkpoints").iterdir()),
                         before)
        done = self.start("full", "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len([x for x in self.lines("full") if x["kind"] == "step"]), STEPS)

    def test_baselines_differ_by_one_word(self):
        for word in ("fp", "b1"):
            done = self.start(word, "--set", f"model.weights={word}")
            self.assertEqual(done.returncode, 0, done.stderr)
            checkpoint = self.folder / word / "checkpoints/latest"
            scored = tern("score", checkpoint, "-p", "Anna likes 7 apples.")
            self.assertEqual(scored.returncode, 0, scored.stderr)
        page = self.folder / "report.html"
        report = tern("train", "report", self.whole, self.folder / "fp", self.folder / "b1", "-o",
                      page)
        self.assertEqual((report.returncode, report.stdout), (0, f"{page}\n"), report.stderr)
        html = page.read_text()
        for word in ("<svg", "model.weights", "b1.58", "fp", "the cat"):
            self.assertIn(word, html)
        self.assertNotRegex(html, r'(?:src|href)="?http')

    def test_time_budget(self):
        start = time.monotonic()
        done = self.start("timed", "--minutes", 0.03)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(time.monotonic() - start, 120)
        rates = [line["learning_rate"] for line in self.lines("timed") if line["kind"] == "step"]
        self.assertLess(rates[-1], 1e-3)  # The schedule ends with the time.
        self.assertRegex(done.stdout, re.compile(r"^\d+ steps, \d+ tokens, held-out loss"))


if __name__ == "__main__":
    unittest.main(verbosity=1)
