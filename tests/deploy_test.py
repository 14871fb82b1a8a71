#!/usr/bin/env python3
"""Two servers behind HAProxy with deploy/haproxy.cfg: one is killed under load.

Usage: deploy_test.py MODEL --server COMMAND     (COMMAND serve MODEL --port N --port-file FILE)
A request that had not begun to be answered must be answered 200 by the other server, one that had
begun must end in bounded time, nothing may hang, and the killed server must come back into use.
Exits 0 if all of that holds, 77 if haproxy is not installed, else 1.
"""

import argparse
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONFIG = Path(__file__).resolve().parent.parent / "deploy" / "haproxy.cfg"
LIMIT_S = 10  # In which a request must end, killed server or not.
STREAMS, SHORTS = 8, 4  # Clients at a time.
ROUNDS = 5  # Kills that may miss: none of the streams was on the killed server.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds=20):
    """Asks until `condition` gives something true; for what tells nobody when it is."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Server:
    """One tern server, always on the same port."""

    def __init__(self, command, model, folder, name):
        self.command, self.model, self.name, self.port = command, model, name, free_port()
        self.port_file = folder / f"{name}.port"
        self.log = open(folder / f"{name}.log", "ab")
        self.process = None

    def start(self):
        self.port_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*self.command, "serve", self.model, "--port", str(self.port), "--port-file", str(self.port_file)],
            stdout=self.log, stderr=self.log)
        wait_for(f"server {self.name} is ready", self.ready, 60)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"server {self.name} ended with status {self.process.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """The exit status after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "none within 30 s"


class Proxy:
    """Debian's haproxy with the project's own configuration, but for ports and a control socket."""

    def __init__(self, servers, folder):
        self.port = free_port()
        self.socket = folder / "haproxy.sock"
        text = CONFIG.read_text(encoding="utf-8")
        for old, new in [(8000, self.port), (8081, servers[0].port), (8082, servers[1].port)]:
            assert text.count(f"127.0.0.1:{old}") == 1, f"{CONFIG}: port {old} does not stand there once"
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        text = text.replace("global\n", f"global\n    stats socket {self.socket}\n", 1)
        config = folder / "haproxy.cfg"
        config.write_text(text, encoding="utf-8")
        self.log = open(folder / "haproxy.log", "ab")
        self.process = subprocess.Popen(["haproxy", "-W", "-q", "-f", str(config)], stdout=self.log, stderr=self.log)
        wait_for("haproxy listens", self.socket.exists)

    def stat(self, name):
        """What haproxy knows of a server: its row of `show stat`."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.socket))
            control.sendall(b"show stat\n")
            text = b"".join(iter(lambda: control.recv(65536), b"")).decode()
        head, *rows = [line.split(",") for line in text.lstrip("# ").splitlines() if line]
        return next(dict(zip(head, row)) for row in rows if row[:2] == ["servers", name])

    def up(self, name):
        return self.stat(name)["status"] == "UP"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


class Request:
    """One chat completion and how it went: `begun` when its answer had a status, `outcome` in the end."""

    def __init__(self, port, stream):
        self.port, self.stream = port, stream
        self.started = time.monotonic()
        self.begun = self.ended = None
        self.outcome, self.reads = "running", 0

    def run(self):
        body = {"messages": [{"role": "user", "content": "Once upon a time"}], "stream": self.stream,
                "max_tokens": 400 if self.stream else 4}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.begun = time.monotonic()
            self.outcome = self.finish(response)
        except (OSError, http.client.HTTPException) as error:
            self.outcome = f"{type(error).__name__}: {error}"
        finally:
            self.ended = time.monotonic()
            connection.close()

    def finish(self, response):
        data = b""
        while piece := response.read1(65536):
            data += piece
            self.reads += 1
        if response.status != 200:
            return f"status {response.status}: {data[:200]!r}"
        if self.stream:
            return "whole" if data.endswith(b"data: [DONE]\n\n") else "cut"
        return "whole" if json.loads(data)["choices"][0]["finish_reason"] else "no reason"


class Load:
    """Clients that ask one request after another until they are told to stop."""

    def __init__(self, port):
        self.port, self.stopping, self.requests, self.lock = port, threading.Event(), [], threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(i < STREAMS,), daemon=True) for i in range(STREAMS + SHORTS)]
        for thread in self.threads:
            thread.start()

    def client(self, stream):
        while not self.stopping.is_set():
            request = Request(self.port, stream)
            with self.lock:
                self.requests.append(request)
            request.run()

    def streaming(self):
        with self.lock:
            return sum(1 for request in self.requests if request.stream and request.begun and not request.ended)

    def finish(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout=2 * LIMIT_S + 5)
        assert not any(thread.is_alive() for thread in self.threads), "a request hangs"
        return self.requests


def judge(requests, killed):
    """The faults among the requests around a kill, and how many streams it cut."""
    faults, cut = [], 0
    for request in requests:
        took = request.ended - request.started
        kind = "stream" if request.stream else "short request"
        if took > LIMIT_S + 2:
            faults.append(f"a {kind} took {took:.1f} s: {request.outcome}")
        if request.outcome == "whole":
            continue
        # What a server has sent before it died can arrive a little later.
        if request.outcome.startswith("status") or request.begun is None or request.begun > killed + 0.5:
            faults.append(f"a {kind} that had not begun was not answered: {request.outcome}")
        elif request.ended - killed > LIMIT_S:
            faults.append(f"a {kind} that had begun ended {request.ended - killed:.1f} s after the kill")
        else:
            cut += 1
    return faults, cut


def kill_under_load(proxy, victim):
    load = Load(proxy.port)
    wait_for("streams run", lambda: load.streaming() >= STREAMS // 2 and int(proxy.stat(victim.name)["scur"]) > 0)
    victim.kill()
    killed = time.monotonic()
    wait_for("haproxy sees that the server is gone", lambda: not proxy.up(victim.name))
    before = len(load.requests)
    wait_for("the other server goes on", lambda: len(load.requests) > before + 3 * (STREAMS + SHORTS), 60)
    requests = load.finish()
    faults, cut = judge(requests, killed)
    print(f"{victim.name} killed under load: {len(requests)} requests, {cut} streams cut, {len(faults)} faults")
    return faults, cut


def comes_back(proxy, victim):
    before = int(proxy.stat(victim.name)["stot"])
    victim.start()
    wait_for("haproxy uses the server again", lambda: proxy.up(victim.name))
    requests = Load(proxy.port)
    wait_for("the server is given requests", lambda: int(proxy.stat(victim.name)["stot"]) > before)
    faults = [f"after the restart: {one.outcome}" for one in requests.finish() if one.outcome != "whole"]
    print(f"{victim.name} is back and is given requests")
    return faults


def passes_on(proxy):
    """What a server says is what the client gets: errors too, and streams in pieces."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=LIMIT_S)
    connection.request("POST", "/v1/chat/completions", json.dumps({"messages": 3}), {"Content-Type": "application/json"})
    response = connection.getresponse()
    status, error = response.status, json.loads(response.read())["error"]
    stream = Request(proxy.port, True)
    stream.run()
    faults = []
    if status != 400 or error["type"] != "invalid_request_error":
        faults.append(f"a wrong request: {status} {error}")
    if stream.outcome != "whole" or stream.reads < 3:
        faults.append(f"a stream came in {stream.reads} pieces: {stream.outcome}")
    print(f"errors and streams ({stream.reads} pieces) are passed on")
    return faults


def drains(proxy, servers):
    """A server told to stop finishes what it has begun; the other answers the rest."""
    load = Load(proxy.port)
    wait_for("streams run", lambda: load.streaming() >= STREAMS // 2 and int(proxy.stat(servers[0].name)["scur"]) > 0)
    status = servers[0].stop()
    faults = [f"while a server stopped: {one.outcome}" for one in load.finish()
              if one.outcome != "whole" and not one.outcome.startswith("status 503")]
    if status != 0:
        faults.append(f"SIGTERM: the server's status is {status}")
    print(f"{servers[0].name} stopped under load: {len(load.requests)} requests, {len(faults)} faults")
    return faults


def run(command, model, folder):
    servers = [Server(command, model, folder, name) for name in ("one", "two")]
    proxy, faults = None, []
    try:
        for server in servers:
            server.start()
        proxy = Proxy(servers, folder)
        wait_for("both servers are in use", lambda: all(proxy.up(server.name) for server in servers))
        faults += passes_on(proxy)
        cut = 0
        for number in range(ROUNDS):
            found, hit = kill_under_load(proxy, servers[number % 2])
            faults += found + comes_back(proxy, servers[number % 2])
            cut += hit
            if cut > 0 and number > 0:
                break
        if cut == 0:
            faults.append(f"in {ROUNDS} kills no stream was cut: the test has seen nothing")
        faults += drains(proxy, servers)
        status = servers[1].stop()
        if status != 0:
            faults.append(f"SIGTERM: the server's status is {status}")
    finally:
        if proxy:
            proxy.stop()
        for server in servers:
            if server.process and server.process.poll() is None:
                server.process.kill()
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--server", required=True)
    arguments = parser.parse_args()
    if not shutil.which("haproxy"):
        print("haproxy is not installed")
        return 1 if os.environ.get("CI") == "true" else 77
    with tempfile.TemporaryDirectory() as folder:
        try:
            faults = run(shlex.split(arguments.server), arguments.model, Path(folder))
        except AssertionError as error:
            faults = [str(error)]
        if faults:
            for log in sorted(Path(folder).glob("*.log")):
                print(f"-- {log.name}\n{log.read_text(errors='replace')[-2000:]}")
    print("\n".join(f"FAILED  {fault}" for fault in faults[:20]) or "deploy: all passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
