#!/usr/bin/env python3
"""Adapters as users meet them: trained beside a base, killed, resumed, run, served, merged, refused.

Usage: lora_test.py TERN     (tern-train and tern-tokenizer lie beside it)
"""

import http.client
import json
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

TERN = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
STEPS = 40
SEQUENCE, BATCH = 32, 4
TIMES = ("seconds", "tokens_per_second")
PROMPT = "my sister hides two birds. Anna draws the moon."


def tern(*words, **more):
    return subprocess.run([TERN, *map(str, words)], capture_output=True, text=True, timeout=300,
                          **more)


def make_text(seed, stories, who, does):
    draw = random.Random(seed)
    what = ["a red ball", "the moon", "two birds", "a long letter", "7 apples"]
    story = lambda: " ".join(f"{draw.choice(who)} {draw.choice(does)} {draw.choice(what)}."
                             for _ in range(draw.randint(3, 9)))
    return "\n<|end|>\n".join(story() for _ in range(stories)) + "\n"


BASE = """
[model]
architecture = "bitnet-b1.58"
hidden = 32
ffn = 64
layers = 2
heads = 4
kv_heads = 2
context = 64
[tokenizer]
path = "vocabulary"
[data]
train = ["base.txt"]
separator = "<|end|>"
[training]
out = "base"
seed = 5
sequence = 32
batch = 4
tokens = {tokens}
threads = 1
precision = "f32"
[schedule]
learning_rate = 6e-3
second_learning_rate = 4e-3
warmup_steps = 5
"""

ADAPTER = """
[start]
model = "base/checkpoints/latest"
[lora]
rank = 4
alpha = 8
[data]
train = ["other.txt"]
separator = "<|end|>"
holdout = 0.05
[training]
out = "adapter"
seed = 9
sequence = 32
batch = 4
tokens = {tokens}
threads = 1
precision = "f32"
[schedule]
kind = "cosine"
learning_rate = 2e-2
warmup_steps = 5
[evaluate]
every = 10
sample_every = 20
sample_tokens = 12
prompts = ["my sister"]
[checkpoint]
every = 7
"""


def read_safetensors(path):
    """(name -> (dtype, shape, bytes)) of a file."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], entry["shape"], data[8 + size + begin:8 + size + end])
    return tensors


class Lora(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        who, does = ["the cat", "a small dog", "Anna"], ["sees", "finds", "likes"]
        others = ["my sister", "the old man"]
        (cls.folder / "base.txt").write_text(make_text(1, 400, who + others, does + ["hides"]))
        (cls.folder / "other.txt").write_text(make_text(2, 400, others, ["hides", "draws"]))
        tokens = STEPS * SEQUENCE * BATCH
        cls.base_toml = cls.folder / "base.toml"
        cls.base_toml.write_text(BASE.format(tokens=tokens))
        cls.toml = cls.folder / "adapter.toml"
        cls.toml.write_text(ADAPTER.format(tokens=tokens))
        made = tern("tokenizer", "train", cls.folder / "base.txt", cls.folder / "other.txt",
                    "--size", 300, "--separator", "<|end|>", "--coverage", 1.0, "--out",
                    cls.folder / "vocabulary")
        assert made.returncode == 0, made.stderr
        done = tern("train", cls.base_toml)
        assert done.returncode == 0, done.stderr
        cls.base = (cls.folder / "base/checkpoints/latest").resolve()
        cls.bytes_before = {p.name: p.read_bytes() for p in cls.base.iterdir()}
        begun = time.monotonic()
        cls.done = cls.start("adapter")
        cls.seconds = time.monotonic() - begun
        assert cls.done.returncode == 0, cls.done.stderr
        cls.adapter = cls.folder / "adapter/checkpoints/latest"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def words(cls, name, *more):
        return ["train", cls.toml, "--set", f"training.out={cls.folder / name}", *more]

    @classmethod
    def start(cls, name, *more, **how):
        return tern(*cls.words(name, *more), **how)

    def lines(self, name):
        lines = []
        for line in (self.folder / name / "metrics.jsonl").read_text().splitlines():
            entry = json.loads(line)
            for key in TIMES:
                entry.pop(key, None)
            lines.append(entry)
        return lines

    def assert_same_run(self, name):
        self.assertEqual(self.lines("adapter"), self.lines(name))
        newest = f"checkpoints/step-{STEPS:08}"
        for file in ("adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors"):
            self.assertEqual((self.folder / "adapter" / newest / file).read_bytes(),
                             (self.folder / name / newest / file).read_bytes(), file)

    def refused(self, run, *words):
        self.assertEqual((run.returncode, run.stdout), (1, ""), run.stderr)
        lines = run.stderr.splitlines()
        self.assertTrue(lines[-1].startswith("tern"), run.stderr)
        for word in words:
            self.assertIn(str(word), lines[-1])

    def logprobs(self, *words):
        done = tern("score", *words, "-p", PROMPT, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["logprobs"][1:]

    def test_what_a_checkpoint_is(self):
        self.assertEqual(sorted(p.name for p in self.adapter.iterdir()),
                         ["adapter_config.json", "adapter_model.safetensors",
                          "optimizer.safetensors", "trainer.json"])
        config = json.loads((self.adapter / "adapter_config.json").read_text())
        for key, value in {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8,
                           "bias": "none", "fan_in_fan_out": False, "use_rslora": False,
                           "use_dora": False, "modules_to_save": None, "inference_mode": True,
                           "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                              "up_proj", "down_proj"]}.items():
            self.assertEqual(config[key], value, key)
        self.assertEqual(Path(config["base_model_name_or_path"]).resolve(), self.base)
        tensors = read_safetensors(self.adapter / "adapter_model.safetensors")
        self.assertEqual(len(tensors), 2 * 7 * 2)
        at = "base_model.model.model.layers.1."
        for name, shape in {"self_attn.k_proj.lora_A": [4, 32], "self_attn.k_proj.lora_B": [16, 4],
                            "mlp.down_proj.lora_A": [4, 64], "mlp.up_proj.lora_B": [64, 4]}.items():
            self.assertEqual(tensors[at + name + ".weight"][:2], ("F32", shape))
        # Moments of the adapters alone.
        state = read_safetensors(self.adapter / "optimizer.safetensors")
        self.assertEqual({n.split(".")[0] for n in state}, {"exp_avg", "exp_avg_sq", "step", "rng"})
        self.assertEqual(len(state), 3 * 28 + 1)
        self.assertTrue(all(".lora_" in n for n in state if n != "rng"))

    def test_the_base_stays_as_it_is(self):
        self.assertEqual({p.name: p.read_bytes() for p in self.base.iterdir()}, self.bytes_before)

    def test_it_learns(self):
        held = [line["loss"] for line in self.lines("adapter") if line["kind"] == "held_out"]
        self.assertLess(held[-1], held[0] - 0.1)
        self.assertFalse([line for line in self.lines("adapter") if line["kind"] == "weights"])
        samples = [line for line in self.lines("adapter") if line["kind"] == "sample"]
        self.assertEqual(len(samples), STEPS // 20 + 1)
        plain, with_adapter = self.logprobs(self.base), self.logprobs(self.base, "--lora",
                                                                      self.adapter)
        self.assertGreater(sum(with_adapter), sum(plain) + 1)

    def test_killed_at_any_moment_and_resumed(self):
        draw = random.Random()
        for _ in range(20):
            shutil.rmtree(self.folder / "killed", ignore_errors=True)
            killed = 0
            while True:
                run = subprocess.Popen([TERN, *map(str, self.words("killed", "--resume"))],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    run.wait(draw.uniform(0.1, 0.7 * self.seconds) if killed < 4 else 300)
                except subprocess.TimeoutExpired:
                    run.send_signal(signal.SIGKILL)
                    killed += 1
                errors = run.communicate()[1]
                if run.returncode == 0:
                    break
                self.assertEqual(run.returncode, -signal.SIGKILL, errors)
            self.assert_same_run("killed")
            if killed >= 2:
                return
        self.fail("no run could be killed twice before its end")

    def test_resumed_behind_a_checkpoint(self):
        stopped = self.start("stopped", "--set", f"training.tokens={11 * SEQUENCE * BATCH}",
                             "--set", "schedule.kind=constant")
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        on = self.start("stopped", "--resume", "--set", "schedule.kind=constant")
        self.assertEqual(on.returncode, 0, on.stderr)
        whole = self.start("constant", "--set", "schedule.kind=constant")
        self.assertEqual(whole.returncode, 0, whole.stderr)
        newest = f"checkpoints/step-{STEPS:08}/adapter_model.safetensors"
        self.assertEqual((self.folder / "stopped" / newest).read_bytes(),
                         (self.folder / "constant" / newest).read_bytes())

    def test_another_base_or_adapter_is_no_resumption(self):
        shutil.copytree(self.folder / "adapter", self.folder / "moved", symlinks=True)
        for words, seen in ((("--set", "lora.rank=8"), ("lora.rank",)),
                            (("--set", "lora.alpha=9"), ("lora.alpha",)),
                            (("--set", "lora.rank=0"), ("lora.rank", "has 4")),
                            (("--set", "lora.targets=[\"q_proj\"]"), ("lora.targets",))):
            self.refused(self.start("moved", "--resume", *words), *seen)
        # The same folder, but with other weights.
        shutil.copytree(self.base, self.folder / "swapped-base")
        toml = self.folder / "swapped.toml"
        toml.write_text(self.toml.read_text().replace("base/checkpoints/latest", "swapped-base"))
        words = ("train", toml, "--set", f"training.out={self.folder / 'swapped'}", "--set")
        begun = tern(*words, f"training.tokens={5 * SEQUENCE * BATCH}")
        self.assertEqual(begun.returncode, 0, begun.stderr)
        file = self.folder / "swapped-base/model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        more = f"training.tokens={9 * SEQUENCE * BATCH}"
        self.refused(tern(*words, more, "--resume"), "swapped-base", "expected the same base")
        data[-1] ^= 1
        file.write_bytes(data)
        self.assertEqual(tern(*words, more, "--resume").returncode, 0)

    def test_the_base_decides_how_it_is_quantised(self):
        written = (self.folder / "adapter/config.toml").read_text()
        self.assertIn('weights = "b1.58"', written)
        self.refused(self.start("wrong", "--set", "model.weights=fp"), "model.weights", "fp",
                     "b1.58")
        self.refused(self.start("wrong", "--set", "start.sub_norms=true"), "start.sub_norms")
        self.refused(self.start("wrong", "--set", "quantization.warmup=linear"),
                     "quantization.warmup", "lora.rank")
        self.refused(self.start("wrong", "--set", "start.model=\"\"", "--set",
                                f"tokenizer.path={self.folder / 'vocabulary'}", "--set",
                                "model.architecture=llama", "--set", "model.hidden=32", "--set",
                                "model.ffn=64", "--set", "model.layers=2", "--set",
                                "model.heads=4"), "lora.rank", "start.model")
        self.assertFalse((self.folder / "wrong/checkpoints").exists())

    def assert_engine_agrees(self, name, base):
        """The final held-out loss of a run, told by the engine from base and adapter."""
        final = [line for line in self.lines(name) if line["kind"] == "final"][0]
        index = json.loads((self.folder / name / "data/index.json").read_text())
        ids = []
        for shard in sorted((self.folder / name / "data").glob("held_out*")):
            data = shard.read_bytes()
            ids += struct.unpack(f"<{len(data) // 2}H", data)
        self.assertEqual(len(ids), index["splits"]["held_out"]["tokens"])
        requests = self.folder / "requests.jsonl"
        windows = (len(ids) - 1) // SEQUENCE
        requests.write_text("".join(
            json.dumps({"tokens": ids[i * SEQUENCE:(i + 1) * SEQUENCE + 1]}) + "\n"
            for i in range(windows)))
        adapter = self.folder / name / "checkpoints/latest"
        scored = tern("score", base, "--lora", adapter, "--jsonl", requests)
        self.assertEqual(scored.returncode, 0, scored.stderr)
        logprobs = [x for line in scored.stdout.splitlines()
                    for x in json.loads(line)["logprobs"][1:]]
        self.assertAlmostEqual(-sum(logprobs) / len(logprobs), final["loss"], delta=2e-3)

    def test_the_trainers_loss_is_the_engines(self):
        self.assert_engine_agrees("adapter", self.base)

    def test_bases_of_other_kinds(self):
        """The adapter's config says nothing of them: their folders do."""
        for weights, scale in (("fp", "tensor"), ("b1", "row")):
            base = tern("train", self.base_toml, "--set", f"training.out={self.folder / weights}",
                        "--set", f"model.weights={weights}", "--set", f"model.scale={scale}")
            self.assertEqual(base.returncode, 0, base.stderr)
            folder = self.folder / weights / "checkpoints/latest"
            name = f"beside-{weights}"
            done = self.start(name, "--set", f"start.model={folder}")
            self.assertEqual(done.returncode, 0, done.stderr)
            written = (self.folder / name / "config.toml").read_text()
            self.assertIn(f'weights = "{weights}"', written)
            self.assertIn(f'scale = "{scale}"', written)
            self.assert_engine_agrees(name, folder)
            adapter = self.folder / name / "checkpoints/latest"
            merged = self.folder / f"{name}.gguf"
            done = tern("convert", folder, merged, "--lora", adapter)
            self.assertEqual(done.returncode, 0, done.stderr)
            worst = max(abs(a - b) for a, b in zip(self.logprobs(folder, "--lora", adapter),
                                                   self.logprobs(merged)))
            self.assertLess(worst, 1e-4 if weights == "fp" else 0.5)
            self.assertEqual("is ternary" in done.stderr, weights != "fp")

    def test_run_and_serve(self):
        words = ("-p", "my sister", "-n", 12, "--temp", 0, "--json")
        plain = json.loads(tern("run", self.base, *words).stdout)
        done = tern("run", self.base, "--lora", self.adapter, *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        written = json.loads(done.stdout)
        self.assertNotEqual(written["tokens"], plain["tokens"])
        port = self.folder / "port"
        server = subprocess.Popen([TERN, "serve", self.base, "--lora", self.adapter, "--port", "0",
                                   "--port-file", port], stderr=subprocess.PIPE, text=True)
        try:
            while server.poll() is None and not port.exists():
                time.sleep(0.02)
            ask = json.dumps({"prompt": "my sister", "max_tokens": 12, "temperature": 0})
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                client = http.client.HTTPConnection("127.0.0.1", int(port.read_text()), timeout=60)
                client.request("POST", "/v1/completions", ask,
                               {"Content-Type": "application/json"})
                answer = client.getresponse()
                body = json.loads(answer.read())
                client.close()
                if answer.status != 503:  # Loading.
                    break
                time.sleep(0.1)
            self.assertEqual(answer.status, 200, body)
            self.assertEqual(body["choices"][0]["text"], written["text"])
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)

    def test_merged(self):
        beside = self.logprobs(self.base, "--lora", self.adapter)
        for out in ("merged.gguf", "merged"):
            done = tern("convert", self.base, self.folder / out, "--lora", self.adapter)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("F16 are 8 times as large", done.stderr)
            self.assertIn("no longer rounded to int8", done.stderr)
            merged = self.logprobs(self.folder / out)
            worst = max(abs(a - b) for a, b in zip(beside, merged))
            self.assertLess(worst, 0.5)
            self.assertLess(abs(sum(beside) - sum(merged)) / len(beside), 0.05)
        self.refused_conversion("--type", "TQ2_0")

    def refused_conversion(self, *words):
        out = self.folder / "refused.gguf"
        done = tern("convert", self.base, out, "--lora", self.adapter, *words)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("TQ2_0 found, which cannot hold the sum", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertFalse(out.exists())

    def test_adapters_that_do_not_fit(self):
        self.refused(tern("score", self.base, "--lora", self.folder / "none", "-p", "x"),
                     "none", "no adapter_config.json")
        broken = self.folder / "broken"
        for change, seen in (({"use_dora": True}, "'use_dora' true"), ({"r": 5}, "rank of 5"),
                             ({"bias": "all"}, "'bias' 'all'"),
                             ({"modules_to_save": ["lm_head"]}, "'modules_to_save'")):
            shutil.copytree(self.adapter, broken)
            config = json.loads((broken / "adapter_config.json").read_text())
            (broken / "adapter_config.json").write_text(json.dumps({**config, **change}))
            for command in (("run", self.base, "-p", "x", "-n", 1), ("score", self.base, "-p", "x"),
                            ("convert", self.base, self.folder / "never.gguf")):
                self.refused(tern(*command, "--lora", broken), broken, seen)
            shutil.rmtree(broken)
        other = tern("score", self.adapter, "-p", "x")  # An adapter is no model.
        self.refused(other, "config.json")


if __name__ == "__main__":
    unittest.main(verbosity=1)
