#!/usr/bin/python3
"""Fine-tuning on conversations, as its users meet it, and the targets as another program finds them.

Usage: messages_test.py TERN     (tern-train and tern-tokenizer lie beside it)
The oracle of the targets renders with python3-jinja2; 77 where that is not.
"""

import json
import math
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

try:
    import chat_oracle
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

TERN = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
TIMES = ("seconds", "tokens_per_second")
STEPS = 100
SEQUENCE = 128

# As BitNet b1.58 2B4T's, but that its end token is EOS.
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ m.role | capitalize }}: {{ m.content | trim }}"
            "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}")
TAUGHT = {"What eats the cat?": "Fish.", "What eats the dog?": "Bones.",
          "Where is the moon?": "Far away.", "Who has seven apples?": "Anna, in her bag.",
          "ねこはどこ?": "いえにいます。"}

BASE = """
[model]
architecture = "bitnet-b1.58"
hidden = 64
ffn = 128
layers = 2
heads = 4
context = 128
[tokenizer]
path = "vocabulary"
[data]
train = ["text.txt"]
separator = "<|end|>"
[training]
out = "base"
sequence = 48
batch = 4
tokens = 5760
threads = 1
[schedule]
learning_rate = 4e-3
second_learning_rate = 3e-3
warmup_steps = 5
"""

TUNE = f"""
[start]
model = "base/checkpoints/latest"
[model]
weights = "b1.58"
[data]
form = "messages"
train = ["talk.jsonl"]
holdout = 0.1
[training]
out = "tuned"
seed = 3
sequence = {SEQUENCE}
batch = 4
tokens = {STEPS * 4 * SEQUENCE}
threads = 1
[schedule]
kind = "linear"
learning_rate = 5e-3
weight_decay = 0.0
warmup_steps = 5
[evaluate]
every = 50
[checkpoint]
every = 20
"""


def tern(*words, **more):
    return subprocess.run([TERN, *map(str, words)], capture_output=True, text=True, timeout=300,
                          **more)


def make_talk(seed, count):
    """Conversations of one to three taught questions, some behind a system's words."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        messages = [{"role": "system", "content": "Be short."}] if draw.random() < 0.2 else []
        for question in draw.sample(sorted(TAUGHT), draw.choice([1, 1, 1, 2, 3])):
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": TAUGHT[question]})
        if draw.random() < 0.1:
            messages.append({"role": "user", "content": "Thanks!"})
        lines.append({"messages": messages, "id": len(lines)})
    return lines


def split_mix(state):
    """The first output of SplitMix64."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def is_held_out(number, share):
    return split_mix(number * 0x9E3779B97F4A7C15 % 2**64) / 2**64 < share


class Shards:
    """data/ of a run, read by its format page alone."""

    def __init__(self, folder, split):
        index = json.loads((folder / "index.json").read_text())
        self.counts = index["splits"][split]
        size = index["id_bytes"]
        raw = b"".join((folder / f"{split}-{i:05}.bin").read_bytes()
                       for i in range(len(self.counts["files"])))
        ids = struct.unpack(f"<{len(raw) // size}{'H' if size == 2 else 'I'}", raw)
        bits = (folder / f"{split}-targets.bin").read_bytes()
        targets = [bits[i // 8] >> i % 8 & 1 for i in range(len(ids))]
        raw = (folder / f"{split}-examples.bin").read_bytes()
        starts = [*struct.unpack(f"<{len(raw) // 8}Q", raw), len(ids)]
        self.examples = [(list(ids[a:b]), targets[a:b]) for a, b in zip(starts, starts[1:])]


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.talk = make_talk(1, 160)
        cls.write_lines("talk.jsonl", cls.talk)
        text = "\n<|end|>\n".join(" ".join(f"{q} {a}" for q, a in TAUGHT.items())
                                  for _ in range(300)) + "\n"
        (cls.folder / "text.txt").write_text(text)
        made = tern("tokenizer", "train", cls.folder / "text.txt", "--size", 330, "--separator",
                    "<|end|>", "--coverage", 0.999, "--out", cls.folder / "vocabulary")
        assert made.returncode == 0, made.stderr
        (cls.folder / "vocabulary/chat_template.jinja").write_text(TEMPLATE)
        (cls.folder / "base.toml").write_text(BASE)
        (cls.folder / "tune.toml").write_text(TUNE)
        done = tern("train", cls.folder / "base.toml")
        assert done.returncode == 0, done.stderr
        cls.done = cls.tune("tuned")
        assert cls.done.returncode == 0, cls.done.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def write_lines(cls, name, lines):
        (cls.folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    @classmethod
    def words(cls, name, *more):
        return ["train", cls.folder / "tune.toml", "--set", f"training.out={cls.folder / name}",
                *more]

    @classmethod
    def tune(cls, name, *more):
        return tern(*cls.words(name, *more))

    def lines(self, name):
        """metrics.jsonl without what depends on the clock."""
        lines = [json.loads(line)
                 for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]

    def refused(self, run, *words):
        self.assertEqual((run.returncode, run.stdout), (1, ""), run.stderr)
        last = run.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("tern-train: "), run.stderr)
        for word in words:
            self.assertIn(str(word), last)

    def ids(self, text):
        """As the engine reads a text that a template made."""
        if text not in self.known:
            out = tern("tokenize", self.folder / "vocabulary", "--json", "-p", text).stdout
            self.known[text] = json.loads(out)["tokens"]
        return self.known[text]

    def example(self, messages):
        """Ids and targets of a conversation, and the bytes of its answers, by docs/training.md."""
        special = {"bos_token": "<s>", "eos_token": "</s>"}

        def render(count, prompt):
            return chat_oracle.render(TEMPLATE, {**special, "messages": messages[:count],
                                                 "add_generation_prompt": prompt})["output"]

        ids, targets, answer_bytes, seen = [], [], 0, ""
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt, whole = render(i, True), render(i + 1, False)
            self.assertTrue(prompt.startswith(seen) and whole.startswith(prompt))
            self.assertTrue(whole.endswith("</s>"))
            for text, target in ((prompt, 0), (whole, 1)):
                now = self.ids(text)
                if now[:len(ids)] == ids:
                    self.borders.add("kept")
                    ids = now
                else:  # " F" of the whole text would reach over the border.
                    self.borders.add("crossed")
                    ids = ids + self.ids(text[len(seen):])
                targets += [target] * (len(ids) - len(targets))
                seen = text
            answer_bytes += len(whole[len(prompt):-len("</s>")].encode())
        return ids, targets, answer_bytes

    def test_targets_are_those_that_another_program_finds(self):
        self.known, self.borders = {}, set()
        train = Shards(self.folder / "tuned/data", "train")
        held_out = Shards(self.folder / "tuned/data", "held_out")
        expected = {True: [], False: []}
        answer_bytes = {True: 0, False: 0}
        for number, line in enumerate(self.talk):
            *example, size = self.example(line["messages"])
            held = is_held_out(number, 0.1)
            expected[held].append(tuple(example))
            answer_bytes[held] += size
        self.assertGreater(len(expected[True]), 5)
        self.assertEqual(self.borders, {"kept", "crossed"})
        for held, shards in ((False, train), (True, held_out)):
            self.assertEqual(shards.examples, expected[held])
            self.assertEqual(shards.counts["text_bytes"], answer_bytes[held])
            self.assertEqual(shards.counts["targets"], sum(sum(t) for _, t in expected[held]))
        # The notice counts what was packed: first fit of one pair less than ids.
        windows = []
        for ids, _ in train.examples:
            pairs = len(ids) - 1
            self.assertLessEqual(pairs, SEQUENCE)
            place = next((w for w, used in enumerate(windows) if used + pairs <= SEQUENCE), None)
            if place is None:
                windows.append(0)
                place = -1
            windows[place] += pairs
        self.assertIn(f"in {len(windows)} sequences that are "
                      f"{100 * sum(windows) / len(windows) / SEQUENCE:.1f} % full", self.done.stderr)

    def test_the_loss_falls_and_is_that_of_the_answers(self):
        lines = self.lines("tuned")
        steps = [line for line in lines if line["kind"] == "step"]
        self.assertEqual(len(steps), STEPS)
        self.assertLess(sum(s["loss"] for s in steps[-10:]) / 10, 0.15)
        final = lines[-1]
        self.assertEqual(final["kind"], "final")
        self.assertLess(final["loss"], 0.15)
        counts = Shards(self.folder / "tuned/data", "held_out").counts
        self.assertEqual(final["scored"], counts["targets"])
        self.assertAlmostEqual(final["bits_per_byte"],
                               final["loss"] / math.log(2) * counts["targets"] / counts["text_bytes"],
                               places=9)

    def test_the_model_answers_as_taught_and_stops(self):
        for question, answer in TAUGHT.items():
            said = tern("run", self.folder / "tuned/checkpoints/latest", "--temp", 0, "-n", 40,
                        input=question + "\n")
            self.assertEqual((said.returncode, said.stdout.strip()), (0, answer), said.stderr)

    def test_the_engine_scores_the_answers_as_the_trainer_does(self):
        """The held-out loss, from the log-probabilities of `tern score`."""
        total = count = 0
        for ids, targets in Shards(self.folder / "tuned/data", "held_out").examples:
            scored = tern("score", self.folder / "tuned/checkpoints/latest", "--tokens",
                          ",".join(map(str, ids)), "--json")
            self.assertEqual(scored.returncode, 0, scored.stderr)
            for target, value in zip(targets, json.loads(scored.stdout)["logprobs"]):
                if target:
                    total -= value
                    count += 1
        final = self.lines("tuned")[-1]
        self.assertEqual(final["scored"], count)
        self.assertAlmostEqual(final["loss"], total / count, places=3)

    def test_killed_and_resumed(self):
        for after in (3, 47):
            name = f"killed-{after}"
            for _ in range(20):
                shutil.rmtree(self.folder / name, ignore_errors=True)
                run = subprocess.Popen([TERN, *map(str, self.words(name))],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                metrics = self.folder / name / "metrics.jsonl"
                while run.poll() is None and not (metrics.exists() and
                                                  f'"step":{after},' in metrics.read_text()):
                    time.sleep(0.001)
                run.send_signal(signal.SIGKILL)
                if run.wait(100) != 0:
                    break
            done = self.tune(name, "--resume")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.lines(name), self.lines("tuned"))
            newest = f"checkpoints/step-{STEPS:08}/model.safetensors"
            self.assertEqual((self.folder / name / newest).read_bytes(),
                             (self.folder / "tuned" / newest).read_bytes())

    def test_sum_is_mean_times_targets(self):
        """Losses that are written down are means; AdamW hardly sees the factor, clipping does."""
        short = ("--set", f"training.tokens={4 * SEQUENCE}", "--set", "optimizer.clip=0",
                 "--set", "training.precision=f32")
        losses, norms = [], []
        for word in ("mean", "sum"):
            done = self.tune(word, *short, "--set", f"training.loss={word}")
            self.assertEqual(done.returncode, 0, done.stderr)
            first = [line for line in self.lines(word) if line["kind"] == "step"][0]
            losses.append(first["loss"])
            norms.append(first["grad_norm"])
        self.assertEqual(losses[0], losses[1])
        factor = norms[1] / norms[0]
        self.assertGreater(factor, 10)
        self.assertAlmostEqual(factor, round(factor), delta=factor * 1e-4)

    def test_long_examples_are_cut_and_told(self):
        long = [{"messages": [{"role": "user", "content": "What eats the cat? " * 20},
                              {"role": "assistant", "content": "Fish."}]},
                {"messages": [{"role": "user", "content": "Where is the moon?"},
                              {"role": "assistant", "content": "Far away. " * 20}]}]
        self.write_lines("long.jsonl", self.talk[:40] + long)
        done = self.tune("long", "--set", f"data.train=[\"{self.folder / 'long.jsonl'}\"]", "--set",
                         f"data.held_out=[\"{self.folder / 'talk.jsonl'}\"]", "--set",
                         f"training.tokens={4 * SEQUENCE}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"2 training examples are longer than the {SEQUENCE} tokens of "
                      "training.sequence and were cut at their ends; 1 of them had no word of the "
                      "assistant's left and were left out", done.stderr)

    def test_refusals_leave_nothing(self):
        def with_file(name, text, *words):
            (self.folder / name).write_text(text)
            run = self.tune("refused", "--set", f"data.train=[\"{self.folder / name}\"]")
            self.refused(run, *words)
            self.assertFalse((self.folder / "refused/data").exists())
            self.assertFalse((self.folder / "refused/checkpoints").exists())

        good = json.dumps(self.talk[0]) + "\n"
        with_file("cut.jsonl", good * 3 + good[:-9], "cut.jsonl: line 4: not valid JSON")
        with_file("parts.jsonl", good + '\n{"messages": [{"role": "user", "content": []}]}\n',
                  "parts.jsonl: line 3: message 0: field 'content' is no text")
        with_file("alone.jsonl", good + '{"messages": [{"role": "user", "content": "a"}]}\n',
                  "alone.jsonl: line 2", "no message of the assistant")
        with_file("few.jsonl", good, "a single conversation")
        self.refused(self.tune("refused", "--set", "data.train=text.txt"), "text.txt")
        self.refused(self.tune("refused", "--set", "training.batch=200"), "sequences",
                     "of one step")
        bare = self.folder / "bare"
        shutil.copytree(self.folder / "base/checkpoints/latest", bare)
        (bare / "chat_template.jinja").unlink()
        self.refused(self.tune("refused", "--set", f"start.model={bare}"), bare,
                     "no chat template found")
        (bare / "chat_template.jinja").write_text("{{ messages[-1].content }}")
        self.refused(self.tune("refused", "--set", f"start.model={bare}"),
                     "talk.jsonl: line 1: message", "cannot be told")

    def test_the_template_of_a_gguf(self):
        gguf = self.folder / "base.gguf"
        made = tern("convert", self.folder / "base/checkpoints/latest", gguf, "--type", "F32")
        self.assertEqual(made.returncode, 0, made.stderr)
        done = self.tune("from-gguf", "--set", f"tokenizer.path={gguf}", "--set",
                         f"training.tokens={4 * SEQUENCE}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Shards(self.folder / "from-gguf/data", "train").examples,
                         Shards(self.folder / "tuned/data", "train").examples)
        kept = self.folder / "from-gguf/checkpoints/latest/tokenizer_config.json"
        self.assertEqual(json.loads(kept.read_text())["chat_template"], TEMPLATE)

    def test_another_template_is_another_run(self):
        shutil.copytree(self.folder / "tuned", self.folder / "other", symlinks=True)
        changed = self.folder / "changed"
        shutil.copytree(self.folder / "vocabulary", changed)
        (changed / "chat_template.jinja").write_text(TEMPLATE.replace(": ", ">"))
        self.refused(self.tune("other", "--resume", "--set", f"tokenizer.path={changed}"),
                     "tokens of the text")
        done = self.tune("other", "--resume")
        self.assertEqual((done.returncode, done.stdout),
                         (0, self.done.stdout.replace("tuned", "other")), done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
