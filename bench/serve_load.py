#!/usr/bin/env python3
"""Puts load on `tern serve` and says what came of it.

serve_load.py TERN MODEL.gguf OUT.json [--streams 1,4,16,64] [--tokens 96] [--rounds 3]
serve_load.py --table bench/results/serving/NAME.json > docs/results/serving.md

Measures, of streams that begin at once: tokens a second of all, the time to the first token and the
time between tokens; beside `tern bench -npl` of the same model in the same run. Then memory over
10,000 short requests, and what is left behind by 1,000 clients that leave. One thread reads all
streams and does no more than look for the ends of events, so that it takes little from the server,
which runs on the same machine.
"""

import argparse
import json
import platform
import random
import re
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

EVENT = b"\n\n"


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


class Server:
    def __init__(self, tern, model, *args):
        self.folder = tempfile.TemporaryDirectory()
        port = Path(self.folder.name) / "port"
        self.process = subprocess.Popen([tern, "serve", model, "--port", "0", "--port-file", port, *args],
                                        stderr=subprocess.DEVNULL)
        while not port.exists():
            time.sleep(0.05)
        self.port = int(port.read_text())
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health").read()
                return
            except OSError:
                time.sleep(0.05)

    def metrics(self):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics").read().decode()
        return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line[0] != "#"}

    def memory(self, field="VmRSS"):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(field + r":\s+(\d+)", status)[1]) / 1024

    def open(self, body):
        connection = socket.create_connection(("127.0.0.1", self.port))
        data = json.dumps(body).encode()
        connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                           f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        return connection

    def stop(self):
        self.process.terminate()
        if self.process.wait(120) != 0:
            raise SystemExit(f"the server ended with {self.process.returncode}")


def prompt(seed, length):
    """Ids that no other prompt begins with."""
    rng = random.Random(seed)
    return [rng.randrange(5, 4000) for _ in range(length)]


def streams(server, count, tokens, prompt_tokens, seed):
    """When each event of each stream came, from the moment in which all were asked for."""
    selector = selectors.DefaultSelector()
    start = time.monotonic()
    times, rest = {}, {}
    for i in range(count):
        connection = server.open({"prompt": prompt(seed + i, prompt_tokens), "max_tokens": tokens, "stream": True,
                                  "ignore_eos": True, "temperature": 0})
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, i)
        times[i], rest[i] = [], b""
    left = count
    while left:
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 16)
            now = time.monotonic() - start
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                left -= 1
                continue
            rest[key.data] += data
            events = rest[key.data].count(b'"text":')
            if events:
                times[key.data] += [now] * events
                rest[key.data] = rest[key.data].rpartition(EVENT)[2]
    return times


def measure_streams(server, count, tokens, prompt_tokens, seed):
    times = streams(server, count, tokens, prompt_tokens, seed)
    first = [t[0] for t in times.values()]
    gaps = [b - a for t in times.values() for a, b in zip(t, t[1:tokens])]
    end = max(t[tokens - 1] for t in times.values())
    # While all streams run: from the last one's first token to the first one's last.
    begin, until = max(first), min(t[tokens - 1] for t in times.values())
    together = sum(sum(begin < x <= until for x in t[:tokens]) for t in times.values())
    return {"streams": count, "tokens": sum(len(t[:tokens]) for t in times.values()), "seconds": end,
            "tokens_per_second": count * tokens / end,
            "steady_tokens_per_second": together / (until - begin) if until > begin else None,
            "ttft_p50": quantile(first, 0.5), "ttft_p99": quantile(first, 0.99),
            "tpot_p50": quantile(gaps, 0.5), "tpot_p99": quantile(gaps, 0.99), "tpot_max": max(gaps)}


def stall(server, tokens, seed):
    """The longest gap of a running stream while long prompts of others are read."""
    quiet = streams(server, 1, tokens, 16, seed)[0]
    done = threading.Event()

    def intrude():
        i = 0
        while not done.is_set():
            i += 1
            body = {"prompt": prompt(seed + 1000 + i, 1500), "max_tokens": 1}
            connection = server.open(body)
            while connection.recv(1 << 16):
                pass

    thread = threading.Thread(target=intrude)
    thread.start()
    loud = streams(server, 1, tokens, 16, seed + 1)[0]
    done.set()
    thread.join()

    def gaps(times):
        return [b - a for a, b in zip(times, times[1:tokens])]

    return {"alone_p50": quantile(gaps(quiet), 0.5), "beside_prompts_p50": quantile(gaps(loud), 0.5),
            "beside_prompts_max": max(gaps(loud))}


def short_requests(server, count):
    def ask(i):
        connection = server.open({"prompt": prompt(i, 8), "max_tokens": 2})
        while connection.recv(1 << 16):
            pass
        connection.close()

    marks = []
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(count // 10)))
        for part in range(5):
            list(pool.map(ask, range(count // 10 * part, count // 10 * part + count // 5)))
            marks.append(server.memory())
    return {"requests": count + count // 10, "rss_mib": marks}


def leaving_clients(server, count):
    rng = random.Random(1)
    waits = [rng.random() * 0.5 for _ in range(count)]

    def leave(i):
        connection = server.open({"prompt": prompt(i, 32), "max_tokens": 500, "stream": i % 2 == 0,
                                  "ignore_eos": True})
        time.sleep(waits[i])
        if i % 3 == 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(leave, range(count)))
    start = time.monotonic()
    while True:
        m = server.metrics()
        busy = m["tern_requests_processing"] + m["tern_requests_deferred"] + m["tern_kv_blocks_used"]
        if busy == 0 or time.monotonic() - start > 60:
            return {"clients": count, "seconds_until_idle": time.monotonic() - start,
                    "processing": m["tern_requests_processing"], "deferred": m["tern_requests_deferred"],
                    "kv_blocks_used": m["tern_kv_blocks_used"], "cancelled": m["tern_texts_cancelled_total"]}
        time.sleep(0.02)


def bench(tern, model, count):
    """Decoding of `count` sequences by `tern bench`, without a server."""
    out = subprocess.run([tern, "bench", model, "-p", "0", "-n", "0", "-npl", str(count), "-r", "3", "-o", "json"],
                         capture_output=True, check=True).stdout
    return next(r for r in json.loads(out)["results"] if r["test"] == f"npl{count}")["tokens_per_second"]


def table(found, source):
    """Markdown of docs/results/serving.md."""
    lines = ["# Serving, measured", "",
             f"`bench/serve_load.py` on {found['date']}: {found['machine']}, {found['cpus']} CPUs; {found['version']};",
             f"model {found['model']} (random weights). Server and clients share the machine. Streams begin at once, with",
             f"prompts of {found['prompt_tokens']} tokens that share nothing, and answers of {found['tokens']} tokens; medians of "
             f"{found['rounds']} rounds. All numbers: `{source}`.", "",
             "| streams | tokens/s, all | while all decode | first token p50 | p99 | per token p50 | p99 |",
             "|---|---|---|---|---|---|---|"]
    for r in found["streams"]:
        steady = f"{r['steady_tokens_per_second']:.0f}" if r["steady_tokens_per_second"] else "-"
        lines.append(f"| {r['streams']} | {r['tokens_per_second']:.0f} | {steady} | {1e3 * r['ttft_p50']:.0f} ms | "
                     f"{1e3 * r['ttft_p99']:.0f} ms | {1e3 * r['tpot_p50']:.1f} ms | {1e3 * r['tpot_p99']:.1f} ms |")
    by = {r["streams"]: r for r in found["streams"]}
    lines += ["", "| what | found |", "|---|---|"]
    if 16 in by and found.get("bench16"):
        share = by[16]["steady_tokens_per_second"] / found["bench16"]
        lines.append(f"| 16 streams while all decode, of `tern bench -npl 16` ({found['bench16']:.0f} tokens/s) | {share:.2f} |")
    if 16 in by and 1 in by:
        ratio = by[16]["steady_tokens_per_second"] / by[1]["steady_tokens_per_second"]
        lines.append(f"| 16 streams against one | {ratio:.2f}x |")
    s = found["stall"]
    lines += [f"| per token of one stream, alone | {1e3 * s['alone_p50']:.1f} ms |",
              f"| the same while others' prompts of 1,500 tokens are read without a pause: median, longest | "
              f"{1e3 * s['beside_prompts_p50']:.1f} ms, {1e3 * s['beside_prompts_max']:.1f} ms |",
              f"| resident memory over {found['short']['requests']} short requests | "
              + ", ".join(f"{m:.1f}" for m in found["short"]["rss_mib"]) + " MiB |",
              f"| {found['leaving']['clients']} clients that leave at random: texts running, waiting, KV blocks in use "
              f"{found['leaving']['seconds_until_idle']:.2f} s later | {found['leaving']['processing']:.0f}, "
              f"{found['leaving']['deferred']:.0f}, {found['leaving']['kv_blocks_used']:.0f} |",
              f"| peak memory, with a KV cache limited to {found['kv_mib']} MiB beside {found['weights_mib']:.0f} MiB of weights | "
              f"{found['peak_mib']:.0f} MiB |"]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--streams", default="1,4,16,64")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", type=int, default=10000)
    parser.add_argument("--leaving", type=int, default=1000)
    parser.add_argument("--kv-mib", type=int, default=2048)
    o = parser.parse_args()
    if o.table:
        sys.stdout.write(table(json.loads(Path(o.words[0]).read_text()), o.words[0]))
        return
    tern, model, out = o.words
    counts = [int(c) for c in o.streams.split(",")]
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())[1]
    version = subprocess.run([tern, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found = {"date": time.strftime("%Y-%m-%d"), "machine": cpu, "cpus": len(__import__("os").sched_getaffinity(0)),
             "version": version, "system": platform.release(), "model": Path(model).name, "tokens": o.tokens,
             "prompt_tokens": o.prompt_tokens, "rounds": o.rounds, "kv_mib": o.kv_mib,
             "weights_mib": Path(model).stat().st_size / 2**20}
    server = Server(tern, model, "-np", str(max(counts)), "--kv-mib", str(o.kv_mib), "-c", "2048")
    measure_streams(server, 2, 8, 8, 10**6)
    rounds = {c: [] for c in counts}
    for turn in range(o.rounds):
        for count in counts:
            row = measure_streams(server, count, o.tokens, o.prompt_tokens, 1000 * turn + 100000 * count)
            rounds[count].append(row)
            print(json.dumps(row), file=sys.stderr)
    found["streams"] = [{k: sorted(r[k] or 0 for r in rounds[c])[o.rounds // 2] for k in rounds[c][0]} for c in counts]
    found["rounds_all"] = [r for c in counts for r in rounds[c]]
    if 16 in counts:  # Beside the server, which waits meanwhile.
        found["bench16"] = bench(tern, model, 16)
    found["stall"] = stall(server, o.tokens, 77)
    found["short"] = short_requests(server, o.short)
    found["leaving"] = leaving_clients(server, o.leaving)
    found["peak_mib"] = server.memory("VmHWM")
    server.stop()
    Path(out).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
