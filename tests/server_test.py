#!/usr/bin/env python3
"""`tern serve` over sockets: the same text however it is asked for, faults, limits, the end.

server_test.py TERN MODELS      (MODELS holds en.gguf; needs only Python itself)
"""

import base64
import contextlib
import http.client
import json
import math
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TERN = str(Path(sys.argv.pop(1)).resolve())
MODELS = Path(sys.argv.pop(1)).resolve()
HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "golden" / "chat" / "templates" / "im_markers.jinja"
LONG = 60  # Seconds after which a test gives up; nothing is measured with it.


class Server:
    """A running `tern serve`; ends with SIGTERM and must then exit 0."""

    def __init__(self, *args, model=MODELS / "en.gguf"):
        self.folder = tempfile.TemporaryDirectory()
        port_file = Path(self.folder.name) / "port"
        self.log = open(Path(self.folder.name) / "log", "w+b")
        self.process = subprocess.Popen(
            [TERN, "serve", model, "--port", "0", "--port-file", port_file, *map(str, args)], stderr=self.log)
        self.wait(port_file.exists)
        self.port = int(port_file.read_text())
        self.wait(lambda: self.request("GET", "/health")[0] == 200)

    def wait(self, done):
        end = time.monotonic() + LONG
        while not done():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the server: {self.process.poll()}, {self.said()}")
            time.sleep(0.005)

    def said(self):
        self.log.flush()
        return Path(self.log.name).read_text()

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), LONG)
        connection.settimeout(LONG)
        return connection

    def request(self, method, path, body=None, headers=None):
        """Status, headers, and the body: JSON where it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, answer.headers, json.loads(data) if kind == "application/json" and data else data.decode()

    def post(self, path, body, status=200, headers=None):
        found, _, data = self.request("POST", path, body, headers)
        assert found == status, (found, data)
        return data

    def chat(self, text, **more):
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **more})

    def stream(self, path, body):
        """The events of a stream, until [DONE]; fails without it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        connection.request("POST", path, json.dumps({**body, "stream": True}))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        for line in answer:
            if not line.startswith(b"data: "):
                continue
            data = line[6:].strip()
            if data == b"[DONE]":
                connection.close()
                return
            yield json.loads(data)
        raise AssertionError("a stream without [DONE]")

    def metrics(self):
        text = self.request("GET", "/metrics")[2]
        return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line[0] != "#"}

    def wait_idle(self):
        self.wait(lambda: (lambda m: m["tern_requests_processing"] + m["tern_requests_deferred"] == 0
                           and m["tern_kv_blocks_used"] == 0)(self.metrics()))

    def memory(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def stop(self, status=0):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        found = self.process.wait(LONG)
        said = self.said()
        self.log.close()
        self.folder.cleanup()
        assert found == status, (found, said)
        return said


class ServerTest(unittest.TestCase):
    flags = ()
    model = MODELS / "en.gguf"

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags, model=cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def refused(self, status, words, path, body, headers=None, param=None):
        found, _, data = self.server.request("POST", path, body, headers)
        self.assertEqual(found, status, data)
        self.assertIn(words, data["error"]["message"])
        if param:
            self.assertEqual(data["error"]["param"], param)
        return data["error"]


PROMPTS = ["Once upon a time", "The little dog", "One day, a girl", "Tom and Sue", "There was a big"]


class SameText(ServerTest):
    def ask(self, prompt, tokens=40, **more):
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, **more}
        return self.server.post("/v1/completions", body)["choices"][0]["text"]

    def test_alone_among_others_streamed_and_from_the_cache(self):
        alone = {p: self.ask(p) for p in PROMPTS}
        self.assertEqual(len(set(alone.values())), len(PROMPTS))
        for prompt, text in alone.items():
            direct = subprocess.run([TERN, "run", MODELS / "en.gguf", "-p", prompt, "-n", "40", "--temp", "0",
                                     "--json"], capture_output=True, check=True)
            self.assertEqual(json.loads(direct.stdout)["text"], text)
        noise = [" ".join(random.Random(i).choices("cat dog tree sun ball red big".split(), k=60)) for i in range(16)]
        with ThreadPoolExecutor(21) as pool:
            others = [pool.submit(self.ask, n, 60, temperature=1) for n in noise]
            among = {p: pool.submit(self.ask, p) for p in PROMPTS}
            self.assertEqual({p: f.result() for p, f in among.items()}, alone)
            [o.result() for o in others]
        for prompt, text in alone.items():
            events = self.server.stream("/v1/completions",
                                        {"prompt": prompt, "max_tokens": 40, "temperature": 0})
            self.assertEqual("".join(e["choices"][0]["text"] for e in events), text)

    def test_a_prefix_hit_changes_nothing(self):
        story = " ".join(f"{name} saw a {thing} and ran." for name in ("Tom", "Sue", "Ben", "Lily", "Max")
                         for thing in ("cat", "ball", "big red car"))
        first = self.server.post("/v1/completions", {"prompt": story, "max_tokens": 30, "temperature": 0})
        again = self.server.post("/v1/completions", {"prompt": story, "max_tokens": 30, "temperature": 0})
        self.assertEqual(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
        self.assertGreaterEqual(again["usage"]["prompt_tokens_details"]["cached_tokens"], 64)
        self.assertEqual(first["choices"][0]["text"], again["choices"][0]["text"])

    def test_choices_and_seeds(self):
        ask = {"max_tokens": 20, "temperature": 1, "seed": 7, "n": 4}
        first, again = self.server.chat("Once", **ask), self.server.chat("Once", **ask)
        texts = [c["message"]["content"] for c in first["choices"]]
        self.assertEqual(texts, [c["message"]["content"] for c in again["choices"]])
        self.assertGreater(len(set(texts)), 1)
        streamed = [""] * 4
        for event in self.server.stream("/v1/chat/completions",
                                        {"messages": [{"role": "user", "content": "Once"}], **ask}):
            choice = event["choices"][0]
            streamed[choice["index"]] += choice["delta"].get("content") or ""
        self.assertEqual(streamed, texts)

    def test_stop(self):
        whole = self.ask("Once upon a time")
        stop = whole[25:32]
        cut = self.server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0,
                                                   "stop": ["never in it", stop]})["choices"][0]
        self.assertEqual((cut["text"], cut["finish_reason"]), (whole[:whole.index(stop)], "stop"))
        message = self.server.post("/v1/messages", {"messages": [{"role": "user", "content": "Once upon a time"}],
                                                    "max_tokens": 40, "temperature": 0, "stop_sequences": [stop]})
        self.assertEqual((message["stop_reason"], message["stop_sequence"]), ("stop_sequence", stop))

    def test_logprobs_are_those_of_tern_score(self):
        text = "Once upon a time, there was a little dog."
        answer = self.server.post("/v1/completions", {"prompt": text, "max_tokens": 0, "logprobs": 3, "echo": True})
        found = answer["choices"][0]["logprobs"]
        score = json.loads(subprocess.run([TERN, "score", MODELS / "en.gguf", "-p", text, "--json", "-ctk", "f16", "-ctv",
                                           "f16"], capture_output=True, check=True).stdout)
        want = score["logprobs"]
        self.assertEqual(len(found["token_logprobs"]), len(want))
        self.assertIsNone(found["token_logprobs"][0])
        for a, b in zip(found["token_logprobs"][1:], want[1:]):
            self.assertEqual(a, b)
        self.assertEqual(answer["choices"][0]["text"], text)
        for token, offset in list(zip(found["tokens"], found["text_offset"]))[1:]:
            self.assertEqual(text[offset:offset + len(token)], token)
        # A prompt of ids, as the evaluation harness sends it: its first token begins the text.
        ids = self.server.post("/tokenize", {"content": text, "add_special": True})["tokens"]
        same = self.server.post("/v1/completions", {"prompt": [ids], "max_tokens": 0, "logprobs": 1, "echo": True})
        self.assertEqual(same["choices"][0]["logprobs"]["token_logprobs"], found["token_logprobs"])

    def test_embeddings(self):
        both = self.server.post("/v1/embeddings", {"input": ["a dog", "a cat"]})["data"]
        vectors = [d["embedding"] for d in both]
        packed = self.server.post("/v1/embeddings", {"input": "a dog", "encoding_format": "base64"})["data"][0]
        raw = base64.b64decode(packed["embedding"])
        self.assertEqual(list(struct.unpack(f"<{len(raw) // 4}f", raw)), vectors[0])
        for vector in vectors:
            self.assertAlmostEqual(math.sqrt(sum(x * x for x in vector)), 1, places=5)
        self.assertNotEqual(*vectors)
        last = self.server.post("/v1/embeddings", {"input": "a dog", "pooling": "last"})["data"][0]["embedding"]
        self.assertNotEqual(last, vectors[0])

    def test_a_schema_is_kept(self):
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10},
                                                   "age": {"type": "integer", "minimum": 0, "maximum": 99},
                                                   "ok": {"type": "boolean"}},
                  "required": ["name", "age", "ok"], "additionalProperties": False}
        kind = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

        def ask(seed):
            answer = self.server.chat("Say it", response_format=kind, temperature=seed % 3, seed=seed)
            value = json.loads(answer["choices"][0]["message"]["content"])
            assert list(value) == ["name", "age", "ok"] and 0 <= value["age"] <= 99, value
            return answer["choices"][0]["finish_reason"]

        with ThreadPoolExecutor(8) as pool:
            self.assertEqual(set(pool.map(ask, range(24))), {"stop"})
        text = self.server.chat("x", grammar='root ::= "yes" | "no"')["choices"][0]["message"]["content"]
        self.assertIn(text, ("yes", "no"))


class Refusals(ServerTest):
    flags = ("--max-body", 1 << 20)

    def test_sentences(self):
        chat, text = "/v1/chat/completions", "/v1/completions"
        hi = {"messages": [{"role": "user", "content": "hi"}]}
        for body, words, param in (
                ({}, "messages is missing", "messages"),
                ({"messages": []}, "1 to", "messages"),
                ({"messages": "hi"}, "expected an array", "messages"),
                ({"messages": [{"content": "hi"}]}, "messages[0].role is missing", "messages[0].role"),
                ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: 5 found", "messages[0].content"),
                ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "this model reads nothing else",
                 "messages[0].content[0].type"),
                ({**hi, "temperature": "hot"}, 'temperature: "hot" found', "temperature"),
                ({**hi, "temperature": -1}, "from 0 to 100", "temperature"),
                ({**hi, "top_p": 2}, "top_p: 2 found", "top_p"),
                ({**hi, "max_tokens": 1.5}, "max_tokens: 1.5 found", "max_tokens"),
                ({**hi, "n": 0}, "n: 0 found", "n"),
                ({**hi, "n": 10**6}, "from 1 to 16", "n"),
                ({**hi, "stream": "yes"}, "expected true or false", "stream"),
                ({**hi, "stop": [""]}, "not empty", "stop"),
                ({**hi, "stop": {"a": 1}}, "a list of at most", "stop"),
                ({**hi, "logit_bias": {"x": 1}}, "token ids as keys", "logit_bias"),
                ({**hi, "logit_bias": {"99999999": 1}}, "expected one below", "logit_bias"),
                ({**hi, "top_logprobs": 3}, "logprobs: true", "top_logprobs"),
                ({**hi, "seed": "a"}, 'seed: "a" found', "seed"),
                ({**hi, "grammar": "root ::= nix"}, "rule 'nix'", "grammar"),
                ({**hi, "response_format": {"type": "xml"}}, '"xml" found', "response_format.type"),
                ({**hi, "response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
                 "keyword 'not'", "response_format.json_schema.schema"),
                ({**hi, "tools": [{"type": "function", "function": {"name": "f"}}]}, "no tool calls", "tools"),
                ({**hi, "tools": 5}, "expected an array", "tools")):
            with self.subTest(body=body):
                self.refused(400, words, chat, body, param=param)
        self.refused(404, '"gpt-4" found', chat, {**hi, "model": "gpt-4"}, param="model")
        for body, words in (({"prompt": ""}, None), ({"prompt": []}, "a list of token ids"),
                            ({"prompt": [5, -1]}, "expected token ids below"), ({"prompt": [[1], []]}, "none of them empty"),
                            ({"prompt": {"a": 1}}, "expected a text"), ({}, "prompt is missing"),
                            ({"prompt": "x", "suffix": "y"}, "suffix"), ({"prompt": "x", "logprobs": True}, "logprobs")):
            if words:
                self.refused(400, words, text, body)
            else:
                self.server.post(text, {**body, "max_tokens": 1})
        self.refused(400, "max_tokens is missing", "/v1/messages", {**hi})
        error = self.server.request("POST", "/v1/messages", {**hi})[2]
        self.assertEqual((error["type"], error["error"]["type"]), ("error", "invalid_request_error"))
        self.refused(400, "stores no responses", "/v1/responses", {"input": "x", "previous_response_id": "r"})
        # What nobody knows is passed over.
        self.server.chat("hi", max_tokens=1, nonsense={"a": [1]}, user="me", store=True, metadata=None)

    def test_what_is_no_json(self):
        for body in (b"", b"{", b"[]", b"5", b'{"messages": [}', b"\xff\xfe{}", b'{"a": "\xff"}', b'{"a":1,"a":2}',
                     b"[" * 100000, b'{"a":' * 50000, b'{"prompt": "\\ud800"}'):
            status, _, data = self.server.request("POST", "/v1/completions", body)
            self.assertEqual(status, 400, body[:20])
            self.assertTrue(data["error"]["message"])

    def test_paths_and_methods(self):
        for method, path, status in (("GET", "/nix", 404), ("GET", "/v1/completions", 405), ("DELETE", "/v1/models", 405),
                                     ("GET", "/../../etc/passwd", 404), ("GET", "/%2e%2e/x", 404), ("PUT", "/", 404),
                                     ("GET", "/v1/models/nix", 404), ("HEAD", "/health", 200), ("GET", "/?a=b", 200),
                                     ("GET", "/v1/models/tern%20en", 200), ("OPTIONS", "/v1/models", 405)):
            found = self.server.request(method, path)
            self.assertEqual(found[0], status, (method, path, found[2][:200] if isinstance(found[2], str) else found[2]))

    def test_a_prompt_that_is_too_long(self):
        for prompt in ("word " * 1000, "a" * 900000, [5] * 200000, [[5] * 513]):
            error = self.refused(400, "at most", "/v1/completions", {"prompt": prompt})
            self.assertEqual(error["code"], "context_length_exceeded")
        self.refused(400, "at most", "/v1/chat/completions", {"messages": [{"role": "user", "content": "é" * 100000}]})

    def test_a_body_that_is_too_long(self):
        # Told by its length, in chunks without one, and by a client that asks first.
        connection = self.server.connect()
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
        with contextlib.suppress(OSError):  # The server may stop reading before all is sent.
            for _ in range(100):
                connection.sendall(b"x" * (1 << 20))
        self.assertIn(b" 413 ", read_all(connection))
        connection = self.server.connect()
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(200):
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        self.assertIn(b" 413 ", read_all(connection))
        connection = self.server.connect()
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n"
                           b"Expect: 100-continue\r\n\r\n")
        first = connection.recv(4096)
        self.assertTrue(first.startswith(b"HTTP/1.1 413 "), first)
        connection.close()

    def test_hosts_and_origins(self):
        good = {"prompt": "x", "max_tokens": 1}
        for headers, status in (({"Host": "evil.com"}, 403), ({"Host": "127.0.0.1.evil.com"}, 403),
                                ({"Host": "localhost:1"}, 200), ({"Host": "[::1]:8080"}, 200), ({"Host": "a.localhost"}, 200),
                                ({"Origin": "http://evil.com"}, 403), ({"Origin": "null"}, 403),
                                ({"Origin": f"http://127.0.0.1:{self.server.port}"}, 200),
                                ({"Host": "evil.com", "Origin": "http://evil.com"}, 403)):
            self.assertEqual(self.server.request("POST", "/v1/completions", good, headers)[0], status, headers)

    def test_the_page(self):
        status, headers, page = self.server.request("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertNotIn("unsafe", headers["Content-Security-Policy"])
        for name in re.findall(r'(?:src|href)="/?([^":#]+\.\w+)"', page):
            self.assertEqual(self.server.request("GET", "/" + name)[0], 200, name)


def read_all(connection):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    connection.close()
    return data


class Keys(ServerTest):
    flags = ("--api-key", "s3cret", "--cors-origin", "https://good.example", "--allowed-host", "tern.example")

    def test_the_key(self):
        for headers, status in (({}, 401), ({"Authorization": "Bearer nix"}, 401), ({"Authorization": "s3cret"}, 401),
                                ({"Authorization": "Bearer s3cre"}, 401), ({"Authorization": "Bearer s3crets"}, 401),
                                ({"Authorization": "Bearer s3cret"}, 200), ({"authorization": "bearer s3cret"}, 200),
                                ({"x-api-key": "s3cret"}, 200)):
            for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/props")):
                self.assertEqual(self.server.request(method, path, None, headers)[0], status, (headers, path))
        self.assertEqual(self.server.request("GET", "/health")[0], 200)
        self.assertEqual(self.server.request("GET", "/")[0], 200)
        error = self.server.request("GET", "/v1/models")[2]["error"]
        self.assertEqual((error["type"], error["code"]), ("authentication_error", "invalid_api_key"))

    def test_other_origins(self):
        asked = {"Origin": "https://good.example", "Access-Control-Request-Headers": "authorization,x-custom"}
        status, headers, _ = self.server.request("OPTIONS", "/v1/chat/completions", None, asked)
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (204, "https://good.example"))
        self.assertEqual(headers["Access-Control-Allow-Headers"], "authorization,x-custom")
        both = {"Origin": "https://good.example", "Authorization": "Bearer s3cret", "Host": "tern.example"}
        status, headers, _ = self.server.request("GET", "/v1/models", None, both)
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, "https://good.example"))
        self.assertEqual(self.server.request("OPTIONS", "/v1/models", None, {"Origin": "https://bad.example"})[0], 403)


class Tools(ServerTest):
    """A model with a template that writes calls: en.gguf with one of the templates of the goldens."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = Path(cls.folder.name) / "en"
        subprocess.run([TERN, "convert", MODELS / "en.gguf", cls.model], check=True, capture_output=True)
        config = cls.model / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": TEMPLATE.read_text()}))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()

    tools = [{"type": "function", "function": {
        "name": "weather", "description": "d", "parameters": {
            "type": "object", "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"enum": [1, 2, 3]}},
            "required": ["city", "days"], "additionalProperties": False}}},
        {"type": "function", "function": {"name": "time"}}]

    def check_call(self, call):
        self.assertEqual(call["type"], "function")
        arguments = json.loads(call["function"]["arguments"])
        if call["function"]["name"] == "weather":
            self.assertEqual(set(arguments), {"city", "days"})
        else:
            self.assertEqual(call["function"]["name"], "time")

    def test_required_calls(self):
        for seed in range(6):
            ask = {"tools": self.tools, "tool_choice": "required", "seed": seed, "temperature": 1.5}
            answer = self.server.chat("How is it?", **ask)["choices"][0]
            self.assertEqual(answer["finish_reason"], "tool_calls")
            (call,) = answer["message"]["tool_calls"]
            self.check_call(call)
            self.assertIsNone(answer["message"]["content"])
            calls, reason = [], None
            for event in self.server.stream("/v1/chat/completions",
                                            {"messages": [{"role": "user", "content": "How is it?"}], **ask}):
                calls += event["choices"][0]["delta"].get("tool_calls", [])
                reason = event["choices"][0]["finish_reason"] or reason
            self.assertEqual([(c["index"], c["function"]) for c in calls], [(0, call["function"])])
            self.assertEqual(reason, "tool_calls")
        named = self.server.chat("x", tools=self.tools, seed=1,
                                 tool_choice={"type": "function", "function": {"name": "weather"}})
        self.assertEqual(named["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather")

    def test_a_second_turn(self):
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Kyoto","days":1}'}}
        messages = [{"role": "user", "content": "weather?"}, {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "c1", "content": "sunny"}]
        prompt = self.server.post("/apply-template", {"messages": messages, "tools": self.tools})["prompt"]
        self.assertIn('<call>{"name": "weather", "arguments": {"city": "Kyoto", "days": 1}}</call>', prompt)
        self.assertIn("<result>\nsunny\n</result>", prompt)
        self.assertIn('"description": "d", "parameters"', prompt)  # The order of the request.
        answer = self.server.post("/v1/chat/completions", {"messages": messages, "tools": self.tools, "max_tokens": 5})
        self.assertEqual(answer["choices"][0]["message"]["role"], "assistant")

    def test_template_faults(self):
        self.refused(400, "temperature", "/v1/chat/completions",
                     {"messages": [{"role": "user", "content": "x"}], "temperature": "a"})
        self.refused(400, "one of the tools", "/v1/chat/completions", {
            "messages": [{"role": "user", "content": "x"}], "tools": self.tools,
            "tool_choice": {"type": "function", "function": {"name": "nix"}}})
        self.assertTrue(self.server.request("GET", "/props")[2]["tools"])


STORY = {"prompt": "Once upon a time", "ignore_eos": True, "temperature": 0}


class Faults(ServerTest):
    flags = ("--read-timeout", 1, "--write-timeout", 2, "-np", 4, "--queue", 8)

    def raw(self, body, path="/v1/completions", close=False):
        body = json.dumps(body).encode()
        return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
                f"{'Connection: close' if close else 'X: y'}\r\n\r\n").encode() + body

    def test_a_request_that_drips(self):
        slow = self.server.connect()
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: local")
        dripping = threading.Event()

        def drip():
            with contextlib.suppress(OSError):
                while not dripping.wait(0.05):
                    slow.sendall(b"h")

        thread = threading.Thread(target=drip)
        thread.start()
        self.server.chat("hi", max_tokens=2)  # Nobody else waits for it.
        self.assertIn(b" 408 ", read_all(slow))
        dripping.set()
        thread.join()

    def test_halves(self):
        # A client that closes its side in the middle of a request hears why; behind a whole one, it has left.
        connection = self.server.connect()
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        self.assertIn(b" 400 ", read_all(connection))
        connection = self.server.connect()
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        self.assertIn(b" 200 ", read_all(connection))
        connection = self.server.connect()
        connection.sendall(self.raw({**STORY, "max_tokens": 400}))
        connection.shutdown(socket.SHUT_WR)
        self.assertIn(len(read_all(connection)), range(0, 1 << 20))
        self.server.wait_idle()

    def test_garbage(self):
        rng = random.Random(5)
        for text in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
                     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 100000 + b"\r\n\r\n", rng.randbytes(5000)):
            connection = self.server.connect()
            with contextlib.suppress(OSError):
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
            self.assertTrue(answer == b"" or re.match(rb"HTTP/1.1 (4\d\d|200) ", answer), answer[:100])
        self.server.chat("hi", max_tokens=1)

    def test_pipelines(self):
        connection = self.server.connect()
        body = self.raw({**STORY, "max_tokens": 3})
        connection.sendall(body + body + self.raw({**STORY, "max_tokens": 3}, close=True))
        answers = read_all(connection).split(b"HTTP/1.1 ")[1:]
        self.assertEqual([a[:3] for a in answers], [b"200"] * 3)
        self.assertEqual(len({json.loads(a.split(b"\r\n\r\n")[1])["choices"][0]["text"] for a in answers}), 1)

    def test_clients_that_leave_take_nothing_along(self):
        rng = random.Random(11)

        def leave(i):
            connection = self.server.connect()
            connection.sendall(self.raw({**STORY, "max_tokens": 450, "stream": i % 2 == 0}))
            time.sleep(rng.random() * 0.02)
            if i % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # A reset.
            connection.close()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(leave, range(300)))
        self.server.wait_idle()
        self.assertEqual(self.server.chat("hi", max_tokens=2)["usage"]["completion_tokens"], 2)

    def test_a_full_queue(self):
        statuses = []

        def ask(_):
            status, headers, _ = self.server.request("POST", "/v1/completions", {**STORY, "max_tokens": 300})
            if status == 429:
                assert headers["Retry-After"] == "1"
            statuses.append(status)

        with ThreadPoolExecutor(60) as pool:
            list(pool.map(ask, range(60)))
        self.assertEqual(set(statuses), {200, 429})
        self.refused(429, "--queue", "/v1/completions", {"prompt": ["x"] * 100, "max_tokens": 1})
        self.server.wait_idle()

    def test_one_that_does_not_read_holds_up_nobody(self):
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(("127.0.0.1", self.server.port))
        # Sixteen choices with twenty logprobs a token are megabytes of events.
        slow.sendall(self.raw({"messages": [{"role": "user", "content": "Once"}], "stream": True, "logprobs": True,
                               "top_logprobs": 20, "n": 4, "ignore_eos": True, "max_tokens": 480},
                              "/v1/chat/completions"))
        for _ in range(5):
            self.assertEqual(self.server.chat("hi", max_tokens=2, ignore_eos=True)["usage"]["completion_tokens"], 2)
        self.server.wait(lambda: self.server.metrics()["tern_slow_readers_total"] > 0)
        slow.close()
        self.server.wait_idle()


class Memory(ServerTest):
    flags = ("--kv-mib", 6, "-np", 8)

    def test_a_full_cache_puts_back_and_finishes(self):
        # 6 MiB are 16 blocks of 64 positions; eight texts of three hundred want more than twice as many.
        want = None
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.server.post("/v1/completions", {**STORY, "max_tokens": 300}), range(8)))
        for answer in answers:
            self.assertEqual(answer["usage"]["completion_tokens"], 300)
            want = want or answer["choices"][0]["text"]
            self.assertEqual(answer["choices"][0]["text"], want)
        metrics = self.server.metrics()
        self.assertGreater(metrics["tern_texts_put_back_total"], 0)
        self.assertEqual(metrics["tern_kv_blocks"], 16)

    def test_many_short_requests_leave_it_flat(self):
        def ask(i):
            self.server.post("/v1/completions", {"prompt": f"Day {i}", "max_tokens": 2})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(400)))
            before = self.server.memory()
            list(pool.map(ask, range(1600)))
        self.assertLess(self.server.memory() - before, 4096, "KiB")


class TheEnd(unittest.TestCase):
    def test_sigterm_lets_what_runs_finish(self):
        server = Server("-np", 4, "--grace", 50)
        started, results = threading.Semaphore(0), []

        def read(_):
            text = 0
            for i, event in enumerate(server.stream("/v1/completions", {**STORY, "max_tokens": 400})):
                if i == 0:
                    started.release()
                text += len(event["choices"][0]["text"])
                if event["choices"][0]["finish_reason"]:
                    results.append(event["choices"][0]["finish_reason"])
            return text

        with ThreadPoolExecutor(4) as pool:
            texts = [pool.submit(read, i) for i in range(4)]
            for _ in range(4):
                started.acquire(timeout=LONG)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(len({t.result() for t in texts}), 1)
        self.assertEqual(results, ["length"] * 4)
        said = server.stop()
        self.assertIn("stopping", said)

    def test_the_time_of_grace_ends(self):
        server = Server("--grace", 0)
        connection = server.connect()
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")  # And never the rest.
        server.wait(lambda: server.metrics()["tern_connections"] >= 2)
        start = time.monotonic()
        server.stop()
        self.assertLess(time.monotonic() - start, LONG / 2)
        connection.close()

    def test_wrong_use(self):
        with Taken() as port:
            for args, status, words in ((["--port", port], 1, f"127.0.0.1:{port}: cannot listen there"),
                                        (["--host", "no.such.host.invalid"], 1, "no.such.host.invalid"),
                                        (["--kv-mib", "1", "-c", "512", "--port", "0"], 0, ""),
                                        (["--parallel", "0"], 2, "--parallel"), (["--temp", "nan"], 2, "temp")):
                if status == 0:
                    continue
                result = subprocess.run([TERN, "serve", MODELS / "en.gguf", *map(str, args)], capture_output=True,
                                        timeout=LONG)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertIn(words, result.stderr.decode())
        result = subprocess.run([TERN, "serve", "/nix.gguf", "--port", "0"], capture_output=True, timeout=LONG)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("/nix.gguf", result.stderr.decode())


class Taken:
    """A port that somebody else listens at."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        return self.socket.getsockname()[1]

    def __exit__(self, *_):
        self.socket.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
