#!/usr/bin/env python3
"""Many processes of one run: equal to one, ended together, resumed in other numbers.

Usage: distributed_test.py TERN     (tern-train and tern-tokenizer lie beside it)
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import numpy

TERN = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
TRAINER = TERN.parent / "tern-train" if TERN else None
STEPS = 12
WINDOWS = 12  # Of a step, over all processes and micro-batches.

CONFIG = """
[model]
architecture = "bitnet-b1.58"
weights = "{weights}"
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
batch = {batch}
accumulate = {accumulate}
tokens = {tokens}
threads = 1
precision = "f32"
[schedule]
learning_rate = 2e-3
second_learning_rate = 1e-3
warmup_steps = 4
[evaluate]
every = 4
tokens = 512
prompts = ["the cat"]
sample_tokens = 4
[checkpoint]
every = 4
keep = 9
[distributed]
bucket_megabytes = 0.004
join = 20
silence = 5
"""


def make_text(seed, stories):
    draw = random.Random(seed)
    who = ["the cat", "a small dog", "Anna", "the old man", "my sister"]
    does = ["sees", "finds", "likes", "draws", "hides"]
    what = ["a red ball", "the moon", "two birds", "a long letter", "7 apples", "ねこ"]
    story = lambda: " ".join(f"{draw.choice(who)} {draw.choice(does)} {draw.choice(what)}."
                             for _ in range(draw.randint(3, 9)))
    return "\n<|end|>\n".join(story() for _ in range(stories)) + "\n"


def read_safetensors(path):
    """The float32 tensors of a file, by name: another program's reading of the format."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    out = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            out[name] = numpy.frombuffer(data[8 + size + begin:8 + size + end],
                                         "<f4").reshape(entry["shape"])
    return out


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Distributed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        (cls.folder / "text.txt").write_text(make_text(1, 300))
        made = subprocess.run([TERN, "tokenizer", "train", cls.folder / "text.txt", "--size", "320",
                               "--separator", "<|end|>", "--coverage", "1.0", "--out",
                               cls.folder / "vocabulary"], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        done = cls.run_of("one", 1)
        assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def words(cls, name, processes, *more, accumulate=1, weights="fp"):
        """A run whose steps take the same windows, however many processes share them."""
        config = cls.folder / f"{name}.toml"
        config.write_text(CONFIG.format(batch=WINDOWS // processes // accumulate, weights=weights,
                                        accumulate=accumulate, tokens=STEPS * WINDOWS * 32))
        return ["train", str(config), "--set", f"training.out={cls.folder / name}",
                *map(str, more)]

    @classmethod
    def run_of(cls, name, processes, *more, **how):
        words = cls.words(name, processes, *more, **how)
        if processes > 1:
            words += ["--nproc", str(processes)]
        return subprocess.run([TERN, *words], capture_output=True, text=True, timeout=200)

    def start(self, words, **how):
        """A process that does not outlive its test."""
        run = subprocess.Popen([TERN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, **how)

        def end():
            if run.poll() is None:
                run.kill()
            run.communicate()

        self.addCleanup(end)
        return run

    def ranks(self, words, size, port=None, **change):
        """One process per rank, as torchrun starts them; `change` maps a rank to variables."""
        port = port or free_port()
        started = []
        for rank in range(size):
            env = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(size),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                   **change.get(f"rank{rank}", {})}
            if env.get("RANK") == "-":
                continue
            started.append(self.start(words, env=env))
        return started

    def ended(self, processes, seconds=60):
        """(status, stdout, stderr) of each."""
        out = []
        for process in processes:
            said = process.communicate(timeout=seconds)
            out.append((process.returncode, *said))
        return out

    def lines(self, name, kind="step"):
        text = (self.folder / name / "metrics.jsonl").read_text()
        return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]

    def assert_close_run(self, name, other="one", loss=1e-5, weights=2e-4):
        """Losses of all steps, held-out losses and final weights: to float tolerance."""
        for kind in ("step", "held_out", "final"):
            found, expected = self.lines(name, kind), self.lines(other, kind)
            self.assertEqual([x["step"] for x in found], [x["step"] for x in expected])
            self.assertEqual([x["tokens"] for x in found], [x["tokens"] for x in expected])
            for a, b in zip(found, expected):
                self.assertAlmostEqual(a["loss"], b["loss"], delta=loss * b["loss"])
                if kind == "step":
                    self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=1e-3)
                    self.assertEqual(a["learning_rate"], b["learning_rate"])
        file = "checkpoints/latest/model.safetensors"
        found = read_safetensors(self.folder / name / file)
        expected = read_safetensors(self.folder / other / file)
        self.assertEqual(sorted(found), sorted(expected))
        for key, b in expected.items():
            far = numpy.linalg.norm(found[key] - b) / numpy.linalg.norm(b)
            self.assertLess(far, weights, key)

    def constant(self):
        """The steps of one process whose rate is constant, and so the same with any budget."""
        if not (self.folder / "constant").exists():
            done = self.run_of("constant", 1, "--set", "schedule.kind=constant")
            self.assertEqual(done.returncode, 0, done.stderr)
        return self.lines("constant")

    def wait_for_step(self, name, step, processes):
        metrics = self.folder / name / "metrics.jsonl"
        until = time.monotonic() + 120
        while time.monotonic() < until and all(p.poll() is None for p in processes):
            if metrics.exists() and f'"step":{step},' in metrics.read_text():
                return
            time.sleep(0.005)
        for process in processes:
            process.kill()
        self.fail(f"no step {step}: {self.ended(processes)}")

    def assert_sentences(self, ended, *words):
        """Each process ends with status 1 and one sentence of those words."""
        for status, out, errors in ended:
            self.assertEqual((status, out), (1, ""), errors)
            said = [line for line in errors.splitlines() if line.startswith("tern-train: ")]
            self.assertTrue(said, errors)
            for word in words:
                self.assertIn(word, said[-1], errors)

    # --- Equal to one ---------------------------------------------------------------------------

    def test_two_and_three_end_where_one_ends(self):
        for count in (2, 3):
            done = self.run_of(f"by-{count}", count)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_close_run(f"by-{count}")
            # One process tells, and the files of the run are those of one.
            self.assertEqual(done.stdout.count("bits per byte"), 1, done.stdout)
            self.assertEqual(sorted(p.name for p in (self.folder / "one").iterdir()
                                    if not p.name.startswith("events")),
                             sorted(p.name for p in (self.folder / f"by-{count}").iterdir()
                                    if not p.name.startswith("events")))
            self.assertEqual(len(list((self.folder / f"by-{count}").glob("events.*"))), 1)

    def test_micro_batches(self):
        done = self.run_of("accumulated", 2, accumulate=3)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_close_run("accumulated")

    def test_one_bucket_or_many_are_the_same_sums(self):
        """Two summands have one order, so these are equal to the bit."""
        self.assertEqual(self.run_of("many-buckets", 2).returncode, 0)
        done = self.run_of("one-bucket", 2, "--set", "distributed.bucket_megabytes=100")
        self.assertEqual(done.returncode, 0, done.stderr)
        file = "checkpoints/latest/model.safetensors"
        self.assertEqual((self.folder / "many-buckets" / file).read_bytes(),
                         (self.folder / "one-bucket" / file).read_bytes())

    def test_ternary_weights(self):
        """Rounding moves a digit now and then: losses agree less closely than with floats."""
        self.assertEqual(self.run_of("ternary-one", 1, weights="b1.58").returncode, 0)
        done = self.run_of("ternary-two", 2, weights="b1.58")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_close_run("ternary-two", "ternary-one", loss=5e-3, weights=3e-2)

    def test_variables_and_nproc_are_the_same(self):
        self.assertEqual(self.run_of("launched", 2).returncode, 0)
        processes = self.ranks(self.words("by-variables", 2), 2)
        for status, _, errors in self.ended(processes):
            self.assertEqual(status, 0, errors)
        file = "checkpoints/latest/model.safetensors"
        self.assertEqual((self.folder / "launched" / file).read_bytes(),
                         (self.folder / "by-variables" / file).read_bytes())

    def test_an_optimizer_that_is_shared_out(self):
        """Digits travel instead of weights, and the checkpoint is whole all the same."""
        shared = ("--set", "distributed.shard_optimizer=true")
        for kind, count, loss, weights in (("fp", 2, 1e-5, 2e-4), ("b1.58", 3, 5e-3, 3e-2)):
            alone, many = f"alone-{kind}", f"shared-{kind}"
            self.assertEqual(self.run_of(alone, 1, weights=kind).returncode, 0)
            done = self.run_of(many, count, *shared, weights=kind)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_close_run(many, alone, loss, weights)
            file = "checkpoints/latest/optimizer.safetensors"
            self.assertEqual(sorted(read_safetensors(self.folder / many / file)),
                             sorted(read_safetensors(self.folder / alone / file)))
        # Stopped on the way and resumed by two, by one: to the bit where it is the same number.
        constant = ("--set", "schedule.kind=constant")
        half = ("--set", f"training.tokens={STEPS // 2 * WINDOWS * 32}")
        for name, numbers in (("shared-whole", (2,)), ("shared-twice", (2, 2)),
                              ("shared-less", (2, 1))):
            for i, count in enumerate(numbers):
                done = self.run_of(name, count, *shared, *constant, "--resume",
                                   *(half if len(numbers) > i + 1 else ()), weights="b1.58")
                self.assertEqual(done.returncode, 0, done.stderr)
        file = "checkpoints/latest/model.safetensors"
        whole, twice = ((self.folder / name / file).read_bytes()
                        for name in ("shared-whole", "shared-twice"))
        self.assertEqual(whole, twice)
        for a, b in zip(self.lines("shared-less"), self.lines("shared-whole")):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=5e-3 * b["loss"])

    def test_torchrun(self):
        """PyTorch's own launcher, where Debian's PyTorch is installed."""
        if subprocess.run(["/usr/bin/python3", "-c", "import torch.distributed.run"],
                          capture_output=True).returncode != 0:
            self.skipTest("no PyTorch")
        done = subprocess.run(["/usr/bin/python3", "-m", "torch.distributed.run",
                               "--nproc_per_node=2", f"--master_port={free_port()}", "--no_python",
                               # Defaults that its own code does not survive on Python 3.11.
                               "--redirects=9:1", "--tee=9:1",
                               TERN, *self.words("torchrun", 2)],
                              capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_close_run("torchrun")

    # --- Stopped, killed, resumed ---------------------------------------------------------------

    def test_resumed_by_three_two_and_one(self):
        for count, tokens in ((3, 4), (2, 8), (1, STEPS)):
            done = self.run_of("resumed", count, "--resume", "--set",
                               "schedule.kind=constant", "--set",
                               f"training.tokens={tokens * WINDOWS * 32}")
            self.assertEqual(done.returncode, 0, done.stderr)
        steps, expected = self.lines("resumed"), self.constant()
        self.assertEqual(len(steps), STEPS)
        for a, b in zip(steps, expected):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-5 * b["loss"])
        file = "checkpoints/latest/model.safetensors"
        a, b = (read_safetensors(self.folder / name / file) for name in ("resumed", "constant"))
        for key in b:
            self.assertLess(numpy.linalg.norm(a[key] - b[key]) / numpy.linalg.norm(b[key]), 2e-4)

    def struck(self, name, size, number, *more):
        """What the others say where one process of two runs, first or last, gets a signal."""
        runs = {}
        for victim in (0, size - 1):
            processes = self.ranks(self.words(f"{name}-{victim}", size, "--set",
                                              "training.tokens=1e8", *more), size)
            self.wait_for_step(f"{name}-{victim}", 6, processes)
            processes[victim].send_signal(number)
            runs[victim] = processes
        begun = time.monotonic()
        for victim, processes in runs.items():
            ended = self.ended([p for r, p in enumerate(processes) if r != victim])
            self.assertLess(time.monotonic() - begun, 30)
            self.assert_sentences(ended, f"rank {victim} ")
        for victim, processes in runs.items():
            processes[victim].kill()
            self.ended([processes[victim]])
            self.assertEqual(processes[victim].returncode, -signal.SIGKILL)

    def test_a_hung_worker_ends_all(self):
        self.struck("hung", 2, signal.SIGSTOP)

    def test_a_killed_worker_ends_all_and_the_run_goes_on(self):
        constant = ("--set", "schedule.kind=constant")
        self.struck("killed", 3, signal.SIGKILL, *constant)
        done = self.run_of("killed-2", 2, *constant, "--resume", "--set",
                           f"training.tokens={STEPS * WINDOWS * 32}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("going on from", done.stderr)
        steps = {line["step"]: line["loss"] for line in self.lines("killed-2")}
        for line in self.constant():
            self.assertAlmostEqual(steps[line["step"]], line["loss"], delta=1e-5 * line["loss"])

    def test_all_stopped_for_a_while_go_on(self):
        """Ctrl-Z: longer than distributed.silence."""
        processes = self.ranks(self.words("paused", 2), 2)
        self.wait_for_step("paused", 1, processes)
        for number, pause in ((signal.SIGSTOP, 6.5), (signal.SIGCONT, 0)):
            for process in processes:
                process.send_signal(number)
            time.sleep(pause)
        for status, _, errors in self.ended(processes):
            self.assertEqual(status, 0, errors)
        self.assert_close_run("paused")

    def test_signals_checkpoint_once_and_end_all(self):
        for number, to_group in ((signal.SIGTERM, False), (signal.SIGINT, True)):
            name = f"stopped-{number}"
            run = self.start([*self.words(name, 2, "--set", "training.tokens=1e8"), "--nproc", "2"],
                             start_new_session=True)
            self.wait_for_step(name, 2, [run])
            # A terminal sends Ctrl-C to the launcher and to all that it started.
            os.killpg(run.pid, number) if to_group else run.send_signal(number)
            (status, out, errors), = self.ended([run])
            self.assertEqual((status, out), (0, ""), errors)
            self.assertEqual(errors.count("the same command and --resume"), 1, errors)
            at = int(errors.split("stopped after step ")[1].split(",")[0])
            self.assertEqual(self.lines(name)[-1]["step"], at)
            self.assertTrue((self.folder / name / f"checkpoints/step-{at:08}").is_dir())

    def test_a_launcher_whose_worker_is_killed(self):
        run = self.start([*self.words("orphans", 2, "--set", "training.tokens=1e8"), "--nproc",
                          "2"])
        self.wait_for_step("orphans", 2, [run])
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        self.assertEqual(len(children), 2)
        os.kill(int(children[1]), signal.SIGKILL)
        begun = time.monotonic()
        (status, out, errors), = self.ended([run])
        self.assertLess(time.monotonic() - begun, 30)
        self.assertEqual((status, out), (1, ""), errors)
        self.assertIn("rank 1 was ended by signal 9", errors)
        for child in children:
            self.assertFalse(Path(f"/proc/{child}").exists(), child)

    # --- Refused --------------------------------------------------------------------------------

    def test_guards_decide_alike(self):
        done = self.run_of("spiky", 2, "--set", "guards.spike=0.05", "--set",
                           "schedule.learning_rate=2", "--set", "schedule.kind=constant")
        self.assertEqual(done.returncode, 0, done.stderr)
        skipped = [line for line in self.lines("spiky") if line["skipped"]]
        self.assertGreater(len(skipped), 0)
        self.assertIn(f"{len(skipped)} steps were skipped", done.stderr)

    def test_a_loss_that_is_not_finite(self):
        done = self.run_of("poisoned", 2)
        self.assertEqual(done.returncode, 0, done.stderr)
        file = self.folder / "poisoned/checkpoints/latest/model.safetensors"
        data = bytearray(file.read_bytes())
        size = int.from_bytes(data[:8], "little")
        begin = json.loads(data[8:8 + size])["model.layers.1.mlp.ffn_sub_norm.weight"]
        begin = 8 + size + begin["data_offsets"][0]
        data[begin:begin + 4] = numpy.float32("nan").tobytes()
        file.write_bytes(data)
        done = self.run_of("poisoned", 2, "--resume", "--set", "training.tokens=1e6")
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        said = [x for x in done.stderr.splitlines() if "nan" in x]
        self.assertEqual(len(said), 1, done.stderr)
        for word in (f"step {STEPS + 1}", "model.layers.1", "nothing was saved"):
            self.assertIn(word, said[0])

    def test_what_one_process_finds_all_say(self):
        # The folder holds a run already: only rank 0 looks.
        ended = self.ended(self.ranks(self.words("one", 2), 2))
        self.assert_sentences(ended, "holds a run already")

    def test_wrong_variables(self):
        words = self.words("wrong", 2)
        good = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(free_port())}
        for change, word in (({"RANK": "2"}, "RANK=2"), ({"RANK": "x"}, "RANK=x"),
                             ({"WORLD_SIZE": None}, "without WORLD_SIZE"),
                             ({"MASTER_ADDR": None}, "without MASTER_ADDR"),
                             ({"MASTER_PORT": "0"}, "MASTER_PORT=0"),
                             ({"MASTER_ADDR": "no.such.name.invalid", "RANK": "1"},
                              "no.such.name.invalid")):
            env = {**os.environ, **good, **change}
            env = {key: value for key, value in env.items() if value is not None}
            done = subprocess.run([TERN, *words, "--set", "distributed.join=2"], env=env,
                                  capture_output=True, text=True, timeout=60)
            self.assertIn(done.returncode, (1, 2), done.stderr)
            self.assertIn(word, done.stderr.splitlines()[-1])
        done = subprocess.run([TERN, *words, "--nproc", "2"], env={**os.environ, **good},
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("expected one of both", done.stderr)
        self.assertFalse((self.folder / "wrong").exists())

    def test_a_rank_that_never_comes(self):
        ended = self.ended(self.ranks(self.words("lonely", 3, "--set", "distributed.join=2"), 3,
                                      rank1={"RANK": "-"}))
        self.assertEqual(len(ended), 2)
        self.assert_sentences(ended, "rank 1 of 3 has not come within 2 s")
        ended = self.ended(self.ranks(self.words("headless", 2, "--set", "distributed.join=2"), 2,
                                      rank0={"RANK": "-"}))
        self.assert_sentences(ended, "nobody answers at 127.0.0.1")

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ended = self.ended(self.ranks(self.words("taken", 2, "--set", "distributed.join=2",
                                                     "--set", "distributed.silence=2"), 2,
                                          port=port))
        self.assert_sentences(ended[:1], f"port {port} (MASTER_PORT) is in use")
        self.assert_sentences(ended[1:], str(port))

    def test_processes_that_do_not_belong_together(self):
        words = self.words("strangers", 2, "--set", "distributed.join=4")
        ended = self.ended(self.ranks(words, 2, rank1={"WORLD_SIZE": "3"}))
        self.assert_sentences(ended, "rank 1 was told of 3 processes and rank 0 of 2")
        port = free_port()
        first = self.ranks(words, 2, port=port, rank1={"RANK": "-"})
        other = self.ranks([*words, "--set", "optimizer.clip=2"], 2, port=port,
                           rank0={"RANK": "-"})
        ended = self.ended(first + other)
        self.assert_sentences(ended, "rank 1: optimizer.clip is 2.0, rank 0 has 1.0")
        twice = self.ranks(words, 3, rank2={"RANK": "1"})
        ended = self.ended(twice)
        self.assertTrue(any("rank 1 is taken" in errors for _, _, errors in ended), ended)
        self.assertTrue(all(status == 1 for status, _, _ in ended), ended)


if __name__ == "__main__":
    unittest.main(verbosity=1)
