#!/usr/bin/env python3
"""`tern pull`, `tern list` and Hub names as MODEL, against a local Hub. hub_test.py TERN MODELS

The Hub is hub_server.py, on loopback; MODELS holds en.gguf. Needs only Python itself.
"""

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from hub_server import Hub, Repository, git_hash, listing_json, sha256

TERN = str(Path(sys.argv.pop(1)).resolve())
MODEL = Path(sys.argv.pop(1)).resolve() / "en.gguf"
HERE = Path(__file__).resolve().parent
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"


def noise(size, seed=1):
    """Bytes that any slip of an offset changes."""
    return b"".join(sha256(b"%d %d" % (seed, i)).encode() for i in range(size // 64 + 1))[:size]


class HubTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.hub = Hub()
        subprocess.run([sys.executable, HERE / "make_tiny_model.py", cls.folder / "tiny"], check=True)
        cls.gguf = MODEL.read_bytes()
        cls.data = noise(3 << 20)
        readme = b"# A model\n"
        cls.hub.repositories = {
            "tern/en-GGUF": Repository({"README.md": readme, "en-TQ2_0.gguf": cls.gguf},
                                       ["en-TQ2_0.gguf"]),
            "u/one": Repository({"x.gguf": cls.data, "README.md": readme}, ["x.gguf"]),
            "u/git": Repository({"x.gguf": cls.data}),
            "u/many": Repository({"m-I2_S.gguf": b"1" * 100, "m-TQ2_0.gguf": b"2" * 100,
                                  "sub/m-Q8_0.gguf": b"3" * 100}, ["m-I2_S.gguf"]),
            "u/private": Repository({"x.gguf": cls.data}, ["x.gguf"], token=TOKEN),
            "u/pickle": Repository({"config.json": b"{}", "pytorch_model.bin": b"x"}),
        }
        tiny = {p.name: p.read_bytes() for p in (cls.folder / "tiny").iterdir()}
        cls.tiny = tiny
        cls.hub.repositories["u/tiny"] = Repository(
            {**tiny, "pytorch_model.bin": b"pickle", "README.md": readme, "onnx/model.onnx": b"x"},
            [n for n in tiny if n.endswith(".safetensors")])

    @classmethod
    def tearDownClass(cls):
        cls.hub.close()
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.hub.reset()
        self.cache = Path(tempfile.mkdtemp(dir=self.folder))

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("HF_", "HUGGINGFACE_", "TERN_")) and not k.lower().endswith("_proxy")}
        env.update(HF_ENDPOINT=self.hub.endpoint, HF_HUB_CACHE=str(self.cache),
                   TERN_RETRY_DELAY="0.02", TERN_STALL_TIMEOUT="1", TERN_RETRIES="3")
        env.update({k: str(v) for k, v in more.items()})
        return env

    def tern(self, *args, program=TERN, limits=None, **env):
        return subprocess.run([program, *map(str, args)], capture_output=True, text=True,
                              timeout=120, env=self.environment(**env), preexec_fn=limits,
                              restore_signals=limits is None)

    def pull(self, *args, **env):
        result = self.tern("pull", *args, **env)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("\r", result.stderr)  # A bar is for terminals.
        return Path(result.stdout.removesuffix("\n"))

    def fails(self, status, words, *args, **env):
        result = self.tern(*args, **env)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        last = result.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("tern: "), last)
        for word in words:
            self.assertIn(word, last)
        return result

    def paths(self):
        """The cache as a table: path -> where a link leads, or the size of a file."""
        table = {}
        for path in sorted(self.cache.rglob("*")):
            name = path.relative_to(self.cache).as_posix()
            if path.is_symlink():
                table[name] = os.readlink(path)
            elif path.is_file():
                table[name] = path.stat().st_size
        return table

    def repository(self, name):
        repository = self.hub.repositories[name]
        return repository, repository.refs["main"], self.cache / ("models--" + name.replace("/", "--"))

    def no_model(self, name="u/one", part=None):
        """Nothing counts as downloaded; `part` is the size of what is kept to go on from."""
        _, _, folder = self.repository(name)
        self.assertFalse((folder / "snapshots").exists() and any((folder / "snapshots").rglob("*.gguf")))
        self.assertFalse((folder / "refs").exists())
        blobs = sorted((folder / "blobs").iterdir()) if (folder / "blobs").exists() else []
        if part is None:
            self.assertEqual([b.name for b in blobs], [])
        else:
            self.assertEqual([b.stat().st_size for b in blobs], [part])
            self.assertTrue(blobs[0].name.endswith(".incomplete"))

    # -- what is right ---------------------------------------------------------------------------

    def test_layout(self):
        """As https://huggingface.co/docs/hub/local-cache draws it."""
        path = self.pull("u/tiny")
        repository, commit, _ = self.repository("u/tiny")
        pulled = sorted(set(self.tiny) & {
            "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model",
            "tokenizer_config.json", "special_tokens_map.json", "model.safetensors"})
        self.assertIn("model.safetensors", pulled)
        expected = {"models--u--tiny/refs/main": 40}
        for name in pulled:
            data = self.tiny[name]
            blob = sha256(data) if name.endswith(".safetensors") else git_hash(data)
            expected[f".locks/models--u--tiny/{blob}.lock"] = 0
            expected[f"models--u--tiny/blobs/{blob}"] = len(data)
            expected[f"models--u--tiny/snapshots/{commit}/{name}"] = f"../../blobs/{blob}"
        self.assertEqual(self.paths(), expected)
        self.assertEqual((self.cache / "models--u--tiny/refs/main").read_text(), commit)
        self.assertEqual(path, self.cache / "models--u--tiny/snapshots" / commit)
        for name in pulled:
            self.assertEqual((path / name).read_bytes(), self.tiny[name])
        for unread in ("pytorch_model.bin", "README.md", "onnx"):
            self.assertEqual(self.hub.requests(unread), [])
        self.assertEqual(repository.refs["main"], commit)

    def test_a_pulled_model_runs(self):
        path = self.pull("tern/en-GGUF")
        self.assertEqual(path.read_bytes(), self.gguf)
        run = ("-p", "Once upon a time", "-n", 8, "--temp", 0)
        nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1"}
        expected = self.tern("run", MODEL, *run)
        self.assertEqual(expected.returncode, 0, expected.stderr)
        for model in (["tern/en-GGUF"], ["-m", "tern/en-GGUF"], ["tern/en-GGUF:en-TQ2_0.gguf"],
                      ["-hf", "tern/en-GGUF:tq2_0"], ["--hf-repo", "tern/en-GGUF@main"], [path]):
            found = self.tern("run", *model, *run, **nowhere)
            self.assertEqual((found.returncode, found.stdout), (0, expected.stdout), found.stderr)
        requests = len(self.hub.requests())
        for command in (["inspect"], ["verify"], ["tokenize", "-p", "a"], ["score", "-p", "a b"],
                        ["bench", "-p", 4, "-n", 2, "-r", 1]):
            done = self.tern(command[0], "tern/en-GGUF", *command[1:])
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.hub.requests()), requests)  # None of them asks the network.

    def test_a_pulled_checkpoint_runs(self):
        self.pull("u/tiny")
        run = ("-p", "the", "-n", 6, "--temp", 0)
        self.assertEqual(self.tern("run", "u/tiny", *run).stdout,
                         self.tern("run", self.folder / "tiny", *run).stdout)
        shown = json.loads(self.tern("inspect", "u/tiny", "--json").stdout)
        self.assertEqual(shown["name"], "tiny")  # And not the commit.
        out = self.cache / "out.gguf"
        self.assertEqual(self.tern("convert", "-hf", "u/tiny", out).returncode, 0)
        self.assertTrue(out.exists())

    def test_models_that_were_not_pulled(self):
        for command in (["run", "-p", "x"], ["score", "-p", "x"], ["inspect"], ["verify"],
                        ["tokenize", "-p", "x"], ["bench"]):
            self.fails(1, ["u/one", str(self.cache), "tern pull u/one"], command[0], "u/one",
                       *command[1:])
        self.fails(1, ["tern pull u/one:Q2_0"], "run", "-hf", "u/one:Q2_0", "-p", "x")
        self.fails(1, ["models/x.gguf: nothing found there"], "run", "models/x.gguf", "-p", "x")
        self.assertEqual(self.hub.requests(), [])

    def test_list(self):
        nothing = self.tern("list")
        self.assertEqual((nothing.returncode, nothing.stdout), (0, ""))
        self.assertIn("tern pull", nothing.stderr)
        self.assertEqual(json.loads(self.tern("list", "--json").stdout), [])
        self.pull("u/tiny")
        self.pull("u/many:i2_s")
        path = self.pull("u/many:TQ2_0")
        _, commit, _ = self.repository("u/many")
        listed = json.loads(self.tern("list", "--json").stdout)
        self.assertEqual([m["model"] for m in listed],
                         ["u/many:m-I2_S.gguf", "u/many:m-TQ2_0.gguf", "u/tiny"])
        self.assertEqual(listed[1], {"model": "u/many:m-TQ2_0.gguf", "kind": "GGUF", "bytes": 100,
                                     "commit": commit, "path": str(path)})
        table = self.tern("list").stdout
        for word in ("u/many:m-I2_S.gguf", "100 B", commit[:12], "HF safetensors"):
            self.assertIn(word, table)

    def test_json(self):
        result = self.tern("pull", "u/many:i2_s", "--json")
        _, commit, folder = self.repository("u/many")
        self.assertEqual(json.loads(result.stdout), {
            "model": "u/many:i2_s", "revision": "main", "commit": commit,
            "path": str(folder / "snapshots" / commit / "m-I2_S.gguf"), "files": ["m-I2_S.gguf"],
            "bytes": 100, "downloaded_bytes": 100})

    def test_pulling_again_asks_only_for_the_list(self):
        self.pull("u/one")
        before = self.paths()
        self.hub.reset()
        self.pull("u/one")
        self.assertEqual([r.path.split("?")[0] for r in self.hub.requests()],
                         ["/api/models/u/one/revision/main"])
        self.assertEqual(self.paths(), before)

    def test_a_new_commit(self):
        repository = self.hub.repositories["u/moves"] = Repository(
            {"x.gguf": noise(1000), "config.json": b"{}"}, ["x.gguf"])
        old = self.pull("u/moves")
        commit = repository.commit("main", {"x.gguf": noise(1000), "config.json": b"{ }"})
        self.hub.reset()
        new = self.pull("u/moves")
        self.assertNotEqual(old, new)
        self.assertEqual(new.parent.name, commit)
        self.assertEqual(new.resolve(), old.resolve())  # One blob.
        self.assertEqual(self.hub.requests("resolve"), [])
        self.assertEqual((self.cache / "models--u--moves/refs/main").read_text(), commit)

    def test_revisions(self):
        repository = self.hub.repositories["u/revisions"] = Repository({"x.gguf": b"main"})
        tagged = repository.commit("refs/pr/1", {"y.gguf": b"other"})
        for words in (["u/revisions@refs/pr/1"], ["u/revisions", "--revision", "refs/pr/1"]):
            path = self.pull(*words)
            self.assertEqual(path.parent.name, tagged)
        self.assertEqual((self.cache / "models--u--revisions/refs/refs/pr/1").read_text(), tagged)
        self.assertFalse((self.cache / "models--u--revisions/refs/main").exists())
        self.assertEqual(self.pull("u/revisions", "--revision", tagged), path)
        self.assertFalse((self.cache / "models--u--revisions/refs" / tagged).exists())
        self.fails(1, ["u/revisions@none", "no such revision"], "pull", "u/revisions@none")

    def test_choices(self):
        for words in (["m-I2_S.gguf", "m-TQ2_0.gguf", "sub/m-Q8_0.gguf", "u/many:NAME"],):
            self.fails(2, words, "pull", "u/many")
        self.assertEqual(self.pull("u/many:q8_0").read_bytes(), b"3" * 100)
        self.fails(2, ["no model 'Q3_K' found", "m-I2_S.gguf"], "pull", "u/many:Q3_K")
        self.fails(1, ["pickles", ".safetensors"], "pull", "u/pickle")

    def test_sharded_checkpoint(self):
        index = json.dumps({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}})
        files = {"config.json": b"{}", "model.safetensors.index.json": index.encode(),
                 "part-1.safetensors": b"1", "part-2.safetensors": b"22",
                 "consolidated.safetensors": b"x"}
        self.hub.repositories["u/shards"] = Repository(files, ["part-1.safetensors"])
        path = self.pull("u/shards")
        self.assertEqual(sorted(p.name for p in path.iterdir()),
                         sorted(set(files) - {"consolidated.safetensors"}))
        for bad in ("../part-1.safetensors", "part-3.safetensors", "/x.safetensors", "x.bin"):
            files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": bad}}).encode()
            self.hub.repositories["u/shards"].commit("main", dict(files))
            self.fails(1, [bad], "pull", "u/shards")

    def test_lists_without_sizes_and_hashes(self):
        """A mirror that does not know ?blobs=true; the headers say what the list does not."""
        for name in ("u/one", "u/git"):
            repository, commit, _ = self.repository(name)
            listing = listing_json(repository, name, commit)
            listing["siblings"] = [{"rfilename": f["rfilename"]} for f in listing["siblings"]]
            self.hub.listings[name] = json.dumps(listing).encode()
            self.assertEqual(self.pull(name).read_bytes(), self.data)
            self.assertEqual([r.method for r in self.hub.requests("x.gguf", "hub")][-2:],
                             ["HEAD", "GET"])
        self.assertEqual([r.method for r in self.hub.requests(server="cdn")], ["GET"])

    def test_empty_file(self):
        self.hub.repositories["u/empty"] = Repository(
            {"config.json": b"", "model.safetensors": b"x"}, ["config.json"])
        self.assertEqual((self.pull("u/empty") / "config.json").read_bytes(), b"")

    # -- tokens ----------------------------------------------------------------------------------

    def test_the_token_goes_to_the_endpoint_alone(self):
        self.pull("u/private", HF_TOKEN=TOKEN + "\n")
        for request in self.hub.requests(server="hub"):
            self.assertEqual(request.headers.get("authorization"), f"Bearer {TOKEN}", request)
        self.assertEqual(len(self.hub.requests(server="cdn")), 1)
        for request in self.hub.requests(server="cdn"):
            self.assertNotIn("authorization", request.headers)
            self.assertNotIn(TOKEN, str(request.headers) + request.path)

    def test_who_may_not_read_is_told_of_tokens(self):
        self.fails(1, ["u/private", "401", "HF_TOKEN"], "pull", "u/private")
        self.fails(1, ["u/private", "403", "HF_TOKEN"], "pull", "u/private", HF_TOKEN="hf_other")
        self.fails(1, ["u/none", "401", "no such repository"], "pull", "u/none")
        refused = self.fails(2, ["HF_TOKEN"], "pull", "u/private", HF_TOKEN="hf_x\r\nEvil: 1")
        self.assertNotIn("Evil", refused.stderr)

    def test_no_token_over_plain_http(self):
        """Asked through a proxy, because plain http is trusted with it on this machine alone."""
        for endpoint in ("http://hub.example", "http://127.hub.example"):
            self.hub.reset()
            result = self.tern("pull", "u/one", HF_TOKEN=TOKEN, HF_ENDPOINT=endpoint,
                               http_proxy=self.hub.endpoint)
            self.assertIn("HF_TOKEN is not sent", result.stderr)
            self.assertGreater(len(self.hub.requests("u/one")), 0)
            for request in self.hub.requests():
                self.assertNotIn(TOKEN, str(request.headers))

    # -- broken and slow -------------------------------------------------------------------------

    def test_cut_connections_go_on_where_they_ended(self):
        for name, server in (("u/one", "cdn"), ("u/git", "hub")):
            self.hub.reset()
            self.hub.plan["x.gguf"] = ["cut:1000", "cut:500000", "cut:0", "cut:1"]
            self.assertEqual(self.pull(name, TERN_RETRIES=5).read_bytes(), self.data)
            requests = [r for r in self.hub.requests("x.gguf", server) if r.method == "GET"]
            self.assertEqual([r.headers.get("range") for r in requests],
                             [None, "bytes=1000-", "bytes=501000-", "bytes=501000-", "bytes=501001-"])
            etags = {r.headers.get("if-range") for r in requests[1:]}
            self.assertEqual(len(etags), 1)
            self.assertNotIn(None, etags)

    def test_a_changed_file_is_not_sewn_together(self):
        """If-Range names the ETag of what is there; with another one everything comes anew."""
        self.hub.plan["x.gguf"] = ["changed-etag:1000"]
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)
        self.assertEqual(self.hub.requests("x.gguf", "cdn")[1].headers["if-range"], '"another"')

    def test_tries_that_bring_nothing_are_counted(self):
        self.hub.always["x.gguf"] = "cut:0"
        failed = self.fails(1, ["u/one: x.gguf", "given up after 4 tries"], "pull", "u/one")
        self.assertEqual(failed.stderr.count("trying again"), 3)
        self.assertEqual(len(self.hub.requests("x.gguf", "cdn")), 4)
        self.no_model(part=0)
        self.hub.reset()  # Tries that bring more than a megabyte are not.
        self.hub.plan["x.gguf"] = ["cut:1100000", "cut:0", "cut:1100000", "cut:0"]
        self.assertEqual(self.pull("u/one", TERN_RETRIES=1).read_bytes(), self.data)
        shutil.rmtree(self.cache / "models--u--one")
        self.hub.reset()  # But a server that begins anew each time gets nowhere.
        self.hub.always["x.gguf"] = "cut-anew:1100000"
        self.fails(1, ["given up after 2 tries"], "pull", "u/one", TERN_RETRIES=1)
        self.assertLessEqual(len(self.hub.requests("x.gguf", "cdn")), 4)

    def test_a_later_run_goes_on(self):
        self.hub.always["x.gguf"] = "cut:70000"
        self.fails(1, ["u/one"], "pull", "u/one", "--retries", 0)
        self.no_model(part=70000)
        self.hub.reset()
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)
        self.assertEqual(self.hub.requests("x.gguf", "cdn")[0].headers["range"], "bytes=70000-")

    def test_a_killed_run_goes_on(self):
        self.hub.plan["x.gguf"] = ["dribble:200"]
        process = subprocess.Popen([TERN, "pull", "u/one"], env=self.environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        part = self.cache / "models--u--one/blobs" / (sha256(self.data) + ".incomplete")
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 100000):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        size = part.stat().st_size
        self.no_model(part=size)
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)
        self.assertEqual(self.hub.requests("x.gguf", "cdn")[-1].headers["range"], f"bytes={size}-")

    def test_servers_without_ranges(self):
        self.hub.plan["x.gguf"] = ["cut:1000", "ignore-range"]
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)

    def test_slow_and_stalled(self):
        self.hub.plan["x.gguf"] = ["dribble:60"]
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)
        for first in ("stall:5000", "hang"):
            shutil.rmtree(self.cache / "models--u--one")
            self.hub.reset()
            self.hub.plan["x.gguf"] = [first]
            self.assertEqual(self.pull("u/one").read_bytes(), self.data)
            self.assertEqual(len(self.hub.requests("x.gguf", "cdn")), 2)
        shutil.rmtree(self.cache / "models--u--one")
        self.hub.reset()
        self.hub.always["x.gguf"] = "stall:10"
        start = time.monotonic()
        self.fails(1, ["given up after 2 tries"], "pull", "u/one", "--retries", 1)
        self.assertLess(time.monotonic() - start, 30)
        self.no_model(part=20)

    def test_a_list_that_does_not_come(self):
        self.hub.listing_plan = ["hang", "status:500", "cut:20", "garbage"]
        self.assertEqual(self.pull("u/one", TERN_RETRIES=4).read_bytes(), self.data)
        self.fails(1, ["u/one", "127.0.0.1 port 1"], "pull", "u/one", HF_ENDPOINT="http://127.0.0.1:1")

    def test_statuses_that_pass(self):
        self.hub.listing_plan = ["status:429:0", "status:500"]
        self.hub.plan["x.gguf"] = ["status:503", "status:429:1", "status:500"]
        start = time.monotonic()
        result = self.tern("pull", "u/one", TERN_RETRIES=3)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(time.monotonic() - start, 1)  # Retry-After: 1.
        self.assertIn("429", result.stderr)

    def test_statuses_that_do_not(self):
        for status, words in ((401, ["HF_TOKEN"]), (403, ["HF_TOKEN"]), (404, ["no such"]),
                              (410, ["410"]), (304, ["304"])):
            self.hub.reset()
            self.hub.always["x.gguf"] = f"status:{status}"
            self.fails(1, ["u/one: x.gguf", *words], "pull", "u/one")
            self.assertEqual(len(self.hub.requests("x.gguf", "cdn")), 1)
            self.hub.reset()
            self.hub.listing_plan = [f"status:{status}"]
            self.fails(1, ["u/one", *words], "pull", "u/one")

    # -- lying -----------------------------------------------------------------------------------

    def test_lies_about_a_file(self):
        lies = {
            "flip": ["content with the hash", sha256(self.data)],
            "wrong-length:1": ["Content-Length 3145729 found, expected 3145728"],
            "wrong-length:-1": ["Content-Length 3145727 found, expected 3145728"],
            "without-length:1": ["more than the 3145728 bytes"],
            "wrong-commit": ["commit '0000", "expected"],
            "wrong-etag": ["ETag 0000"],
            "wrong-linked-size": ["X-Linked-Size 3145729 found, expected 3145728"],
        }
        for lie, words in lies.items():
            with self.subTest(lie):
                self.hub.reset()
                shutil.rmtree(self.cache / "models--u--one", ignore_errors=True)
                self.hub.always["x.gguf"] = lie
                self.fails(1, ["u/one: x.gguf", *words], "pull", "u/one")
                removed = lie in ("flip", "without-length:1")
                self.no_model(part=None if removed else 0)

    def test_too_few_bytes_are_asked_for_again(self):
        self.hub.plan["x.gguf"] = ["without-length:-100"]
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)
        self.assertEqual(self.hub.requests("x.gguf", "cdn")[1].headers["range"],
                         f"bytes={len(self.data) - 100}-")

    def test_wrong_ranges(self):
        for shift in (-5, 5):
            self.hub.reset()
            shutil.rmtree(self.cache / "models--u--one", ignore_errors=True)
            self.hub.always["x.gguf"] = f"wrong-range:{shift}"
            self.fails(1, [f"Content-Range 'bytes {10 + shift}-", "expected bytes 10-"], "pull", "u/one")

    def test_a_part_that_is_wrong_is_begun_anew(self):
        blobs = self.cache / "models--u--one/blobs"
        for planted in (b"y" * 4000, b"y" * len(self.data), b"y" * (len(self.data) + 1)):
            blobs.mkdir(parents=True)
            (blobs / (sha256(self.data) + ".incomplete")).write_bytes(planted)
            self.assertEqual(self.pull("u/one").read_bytes(), self.data)
            shutil.rmtree(self.cache / "models--u--one")

    def test_a_blob_of_the_wrong_size_is_replaced(self):
        self.pull("u/one").resolve().write_bytes(b"short")
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)

    def test_redirects_and_headers_without_end(self):
        for fault, words in (("loop", ["redirects"]), ("to-file", ["file:///etc/passwd"]),
                             ("huge-headers", ["headers"])):
            self.hub.reset()
            self.hub.always["x.gguf"] = fault
            self.fails(1, words, "pull", "u/one")
            self.assertLess(len(self.hub.requests("x.gguf")), 20)
            self.hub.reset()
            self.hub.listing_plan = [fault] * 20
            self.fails(1, words, "pull", "u/one")
        self.no_model(part=0)

    def test_lists_that_lie(self):
        repository, commit, _ = self.repository("u/one")
        right = listing_json(repository, "u/one", commit)

        def with_file(**changes):
            listing = json.loads(json.dumps(right))
            listing["siblings"][-1].update(changes)
            return json.dumps(listing).encode()

        outside = self.folder / "evil.gguf"
        lists = [
            b"", b"<html>", b"null", b"[]", b"[" * 100000, b'{"sha": 3}', b"\xff\xfe{}",
            json.dumps({**right, "sha": "../../x"}).encode(),
            json.dumps({**right, "sha": "A" * 40}).encode(),
            json.dumps({**right, "siblings": {"a": 1}}).encode(),
            with_file(rfilename="../../../evil.gguf"), with_file(rfilename=str(outside)),
            with_file(rfilename="a/../../../../evil.gguf"), with_file(rfilename="a\0b.gguf"),
            with_file(rfilename="..\\evil.gguf"), with_file(rfilename="evil\n.gguf"),
            with_file(lfs={"sha256": "../../../../evil", "size": 3}),
            with_file(lfs={"sha256": "f" * 63, "size": 3}), with_file(lfs={"size": -3}),
            with_file(lfs={"sha256": "f" * 64, "size": 1 << 62}),
            b" " * (33 << 20),
        ]
        for text in lists:
            with self.subTest(text[:200]):
                self.hub.listings["u/one"] = text
                self.fails(1, [], "pull", "u/one")
                self.assertEqual(self.paths(), {})
        self.assertFalse(outside.exists())
        self.assertEqual(list(self.folder.rglob("evil*")), [])
        # A list with another hash than the file has, and no header that would say so.
        self.hub.listings["u/one"] = with_file(lfs={"sha256": "f" * 64, "size": len(self.data)})
        self.fails(1, ["ETag", "f" * 64], "pull", "u/one")

    # -- the disk and other processes ------------------------------------------------------------

    def test_not_enough_space_is_said_beforehand(self):
        repository, commit, _ = self.repository("u/one")
        listing = listing_json(repository, "u/one", commit)
        listing["siblings"][-1]["lfs"]["size"] = 1 << 42
        self.hub.listings["u/one"] = json.dumps(listing).encode()
        self.fails(1, [str(self.cache), "free found", "4.0 TiB"], "pull", "u/one")
        self.assertEqual(self.hub.requests("resolve"), [])

    def test_a_disk_that_fills_up(self):
        def limits():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        result = self.tern("pull", "u/one", limits=limits)
        self.assertEqual(result.returncode, 1)
        self.assertIn(".incomplete: cannot write: File too large", result.stderr)
        size = (self.cache / "models--u--one/blobs" / (sha256(self.data) + ".incomplete")).stat().st_size
        self.assertGreater(size, 0)
        self.hub.reset()
        self.assertEqual(self.pull("u/one").read_bytes(), self.data)
        self.assertEqual(self.hub.requests("x.gguf", "cdn")[0].headers["range"], f"bytes={size}-")

    def test_a_cache_that_cannot_be_written(self):
        self.fails(1, ["/dev/null"], "pull", "u/one", HF_HUB_CACHE="/dev/null")

    def test_two_processes_download_once(self):
        self.hub.plan["x.gguf"] = ["dribble:100"]
        both = [subprocess.Popen([TERN, "pull", "u/one"], env=self.environment(), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        said = [p.communicate(timeout=120) for p in both]
        self.assertEqual([p.returncode for p in both], [0, 0], said)
        self.assertEqual(said[0][0], said[1][0])
        self.assertEqual(sum("waiting" in errors for _, errors in said), 1, said)
        self.assertEqual(len(self.hub.requests("x.gguf", "cdn")), 1)
        self.assertEqual(Path(said[0][0].strip()).read_bytes(), self.data)

    def test_waits_for_other_programs_that_hold_the_lock(self):
        """The lock file of the layout, held by flock, as the filelock package does on Linux."""
        locks = self.cache / ".locks/models--u--one"
        locks.mkdir(parents=True)
        with open(locks / (sha256(self.data) + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen([TERN, "pull", "u/one"], env=self.environment(), text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertIn("waiting", process.stderr.readline())
            self.assertIsNone(process.poll())
            self.assertEqual(self.hub.requests("resolve"), [])
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, errors)

    # -- without the network ---------------------------------------------------------------------

    def test_offline(self):
        for how, env in ((["--offline"], {}), ([], {"HF_HUB_OFFLINE": "1"})):
            self.hub.reset()
            shutil.rmtree(self.cache / "models--u--one", ignore_errors=True)
            self.fails(1, ["u/one", "tern pull u/one"], "pull", "u/one", *how, **env)
            self.assertEqual(self.hub.requests(), [])
            path = self.pull("u/one")
            self.hub.reset()
            self.assertEqual(self.pull("u/one", *how, **env), path)
            self.assertEqual(self.hub.requests(), [])

    def test_built_without(self):
        place = self.cache / "bin"
        place.mkdir()
        shutil.copy(TERN, place / "tern")
        result = self.tern("pull", "u/one", program=place / "tern")
        self.assertEqual(result.returncode, 1)
        for word in ("without downloads", str(place / "tern-pull"), "-DTERN_HUB=ON"):
            self.assertIn(word, result.stderr)
        self.assertEqual(self.tern("list", program=place / "tern").returncode, 0)

    def test_wrong_use(self):
        self.fails(2, ["USER/REPO"], "pull")
        for name in ("en", "a/b/c", "../x/y", "a b/c", "https://huggingface.co/a/b", "a/b:../c"):
            self.fails(2, [name, "USER/REPO"], "pull", name)
        self.fails(2, ["--revision", "../x"], "pull", "u/one", "--revision", "../x")
        self.fails(2, ["stall-timeout"], "pull", "u/one", "--stall-timeout", 0)
        for endpoint in ("ftp://x", "nonsense", "file:///etc", "http://user:pass@host"):
            self.fails(2, ["HF_ENDPOINT"], "pull", "u/one", HF_ENDPOINT=endpoint)
        self.fails(2, ["extra"], "list", "extra")
        self.assertEqual(self.hub.requests(), [])


if __name__ == "__main__":
    unittest.main()
