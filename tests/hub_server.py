"""A local server that speaks the Hugging Face Hub's endpoints, right or in many wrong ways.

    GET  /api/models/USER/REPO/revision/REVISION?blobs=true    the list of files
    GET  /USER/REPO/resolve/COMMIT/PATH                        a file; one in LFS redirects to the CDN
    GET  /cdn/SHA256                                           on another port, the CDN

What a file's next answers are is said by `hub.plan[PATH] = ["cut:100", "status:500", ...]`, one
fault per request for its bytes, and by `hub.always[PATH] = fault` for those after. Every request is
in hub.log. The faults are the keys of FAULTS, with an argument after a colon where they take one.
"""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Repository:
    """Commits of files; `lfs` names those that lie in LFS."""

    def __init__(self, files, lfs=(), token=None):
        self.lfs, self.token = set(lfs), token
        self.commits, self.refs = {}, {}
        self.commit("main", files)

    def commit(self, revision, files):
        name = hashlib.sha1(repr(sorted((p, sha256(d)) for p, d in files.items())).encode()).hexdigest()
        self.commits[name] = files
        self.refs[revision] = name
        return name

    def hash_of(self, commit, path):
        data = self.commits[commit][path]
        return sha256(data) if path in self.lfs else git_hash(data)


class Request:
    def __init__(self, server, handler):
        self.server, self.method = server, handler.command
        self.path = unquote(handler.path)
        self.headers = {k.lower(): v for k, v in handler.headers.items()}

    def __repr__(self):
        return f"{self.server} {self.method} {self.path} {self.headers.get('range', '')}"


class Hub:
    """Two servers of one Hub: the endpoint and the CDN."""

    def __init__(self):
        self.repositories, self.plan, self.always, self.listings = {}, {}, {}, {}
        self.listing_plan = []
        self.log, self.lock, self.closing = [], threading.Lock(), threading.Event()
        self.endpoint_server = self._serve("hub")
        self.cdn_server = self._serve("cdn")
        self.endpoint = f"http://127.0.0.1:{self.endpoint_server.server_port}"
        self.cdn = f"http://127.0.0.1:{self.cdn_server.server_port}"

    def _serve(self, name):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.hub, server.which = self, name
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05},
                         daemon=True).start()
        return server

    def close(self):
        self.closing.set()
        for server in (self.endpoint_server, self.cdn_server):
            server.shutdown()
            server.server_close()

    def reset(self):
        """Forgets faults and requests; repositories stay."""
        with self.lock:
            self.plan, self.always, self.listings, self.listing_plan = {}, {}, {}, []
            self.log = []

    def next_fault(self, path):
        with self.lock:
            planned = self.plan.get(path)
            return planned.pop(0) if planned else self.always.get(path, "")

    def requests(self, part="", server=None):
        with self.lock:
            return [r for r in self.log if part in r.path and server in (None, r.server)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def hub(self):
        return self.server.hub

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        request = Request(self.server.which, self)
        with self.hub.lock:
            self.hub.log.append(request)
        path = urlsplit(request.path).path  # A proxy is asked for the whole address.
        parts = path.strip("/").split("/")
        try:
            if self.server.which == "cdn":
                self.cdn(parts)
            elif parts[:2] == ["api", "models"] and len(parts) >= 6 and parts[4] == "revision":
                self.listing("/".join(parts[2:4]), "/".join(parts[5:]))
            elif len(parts) >= 5 and parts[2] == "resolve":
                self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self.plain(404, b"?")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # -- answers ---------------------------------------------------------------------------------

    def plain(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def allowed(self, repository):
        if repository is None:
            self.plain(401, b"Invalid username or password.", [("X-Error-Code", "RepoNotFound")])
            return False
        if repository.token and self.headers.get("Authorization") != f"Bearer {repository.token}":
            status = 403 if self.headers.get("Authorization") else 401
            self.plain(status, b"gated", [("X-Error-Code", "GatedRepo")])
            return False
        return True

    def listing(self, name, revision):
        repository = self.hub.repositories.get(name)
        if self.hub.listing_plan:
            kind, _, argument = self.hub.listing_plan.pop(0).partition(":")
            body = json.dumps(listing_json(repository, name, repository.refs[revision])).encode()
            return FAULTS[kind](self, argument, body, '""', [])
        if name in self.hub.listings:
            return self.plain(200, self.hub.listings[name])
        if not self.allowed(repository):
            return None
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            return self.plain(404, b"?", [("X-Error-Code", "RevisionNotFound")])
        return self.plain(200, json.dumps(listing_json(repository, name, commit)).encode(),
                          [("Content-Type", "application/json")])

    def resolve(self, name, commit, path):
        repository = self.hub.repositories.get(name)
        if not self.allowed(repository):
            return None
        data = repository.commits.get(commit, {}).get(path)
        if data is None:
            return self.plain(404, b"?", [("X-Error-Code", "EntryNotFound")])
        found = repository.hash_of(commit, path)
        headers = [("X-Repo-Commit", commit)]
        if path not in repository.lfs:
            return self.file(path, data, f'"{found}"', headers)
        headers += [("X-Linked-Etag", f'"{found}"'), ("X-Linked-Size", str(len(data)))]
        fault = self.hub.always.get(path, "")
        if fault == "wrong-commit":
            headers[0] = ("X-Repo-Commit", "0" * 40)
        elif fault == "wrong-etag":
            headers[1] = ("X-Linked-Etag", f'"{"0" * 64}"')
        elif fault == "wrong-linked-size":
            headers[2] = ("X-Linked-Size", str(len(data) + 1))
        location = f"{self.hub.cdn}/cdn/{found}/{name}/{commit}/{path}"
        return self.plain(302, b"Found. Redirecting", headers + [("Location", location)])

    def cdn(self, parts):
        name, commit, path = "/".join(parts[2:4]), parts[4], "/".join(parts[5:])
        data = self.hub.repositories[name].commits[commit][path]
        self.file(path, data, f'"{hashlib.md5(data).hexdigest()}"', [])

    def file(self, path, data, etag, headers):
        fault = "" if self.command == "HEAD" else self.hub.next_fault(path)
        kind, _, argument = fault.partition(":")
        FAULTS.get(kind, right)(self, argument, data, etag, headers)

    def range_start(self, etag, size):
        """Where the wanted bytes begin; If-Range with another ETag means everything."""
        wanted = self.headers.get("Range", "")
        if not wanted or self.headers.get("If-Range", etag) != etag:
            return 0
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        return start if start < size else None

    def begin(self, data, etag, headers, start, length=None):
        self.send_response(206 if start else 200)
        for name, value in [*headers, ("ETag", etag)]:
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start if length is None else length))
        self.end_headers()

    def cut(self):
        """The connection breaks off."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)


def listing_json(repository, name, commit):
    files = []
    for path, data in sorted(repository.commits[commit].items()):
        entry = {"rfilename": path, "size": len(data), "blobId": git_hash(data)}
        if path in repository.lfs:
            entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
        files.append(entry)
    return {"id": name, "modelId": name, "sha": commit, "private": False, "siblings": files}


def right(handler, _, data, etag, headers):
    start = handler.range_start(etag, len(data))
    if start is None:
        return handler.plain(416, b"", [("Content-Range", f"bytes */{len(data)}")])
    handler.begin(data, etag, headers, start)
    if handler.command != "HEAD":
        handler.wfile.write(data[start:])
    return None


def cut(handler, count, data, etag, headers):
    start = handler.range_start(etag, len(data))
    handler.begin(data, etag, headers, start)
    handler.wfile.write(data[start:start + int(count)])
    handler.cut()


def cut_anew(handler, count, data, etag, headers):
    handler.begin(data, etag, headers, 0)
    handler.wfile.write(data[:int(count)])
    handler.cut()


def ignore_range(handler, _, data, etag, headers):
    handler.begin(data, etag, headers, 0)
    handler.wfile.write(data)


def dribble(handler, pieces, data, etag, headers):
    start = handler.range_start(etag, len(data))
    handler.begin(data, etag, headers, start)
    size = len(data) // int(pieces) + 1
    for at in range(start, len(data), size):
        handler.wfile.write(data[at:at + size])
        handler.wfile.flush()
        time.sleep(0.02)


def stall(handler, count, data, etag, headers):
    start = handler.range_start(etag, len(data))
    handler.begin(data, etag, headers, start)
    handler.wfile.write(data[start:start + int(count)])
    handler.wfile.flush()
    handler.hub.closing.wait(60)


def hang(handler, *_):
    handler.hub.closing.wait(60)
    handler.cut()


def flip(handler, _, data, etag, headers):
    start = handler.range_start(etag, len(data))
    handler.begin(data, etag, headers, start)
    handler.wfile.write(data[start:-1] + bytes([data[-1] ^ 1]))


def wrong_length(handler, more, data, etag, headers):
    handler.begin(data, etag, headers, 0, len(data) + int(more))
    handler.wfile.write((data + b"x" * 100)[:len(data) + int(more)])


def without_length(handler, more, data, etag, headers):
    """The end of the connection is the end of the body."""
    handler.send_response(200)
    for name, value in [*headers, ("ETag", etag), ("Connection", "close")]:
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write((data + b"x" * 100)[:len(data) + int(more)])
    handler.close_connection = True


def wrong_range(handler, shift, data, etag, headers):
    start = handler.range_start(etag, len(data))
    if not start:
        return cut(handler, 10, data, etag, headers)
    handler.send_response(206)
    for name, value in [*headers, ("ETag", etag)]:
        handler.send_header(name, value)
    first = start + int(shift)
    handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - first))
    handler.end_headers()
    handler.wfile.write(data[first:])
    return None


def status(handler, code, *_):
    code, _, after = code.partition(":")
    handler.plain(int(code), b"no", [("Retry-After", after)] if after else [])


def loop(handler, *_):
    handler.plain(302, b"", [("Location", handler.path)])


def to_file(handler, *_):
    handler.plain(302, b"", [("Location", "file:///etc/passwd")])


def huge_headers(handler, *_):
    handler.plain(200, b"", [(f"X-{i}", "y" * 1000) for i in range(90)])


def garbage(handler, *_):
    handler.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    handler.cut()


def changed_etag(handler, count, data, etag, headers):
    """Cuts, and has another ETag than the answers after it."""
    cut(handler, count, data, '"another"', headers)


FAULTS = {
    "cut": cut, "cut-anew": cut_anew, "ignore-range": ignore_range, "dribble": dribble, "stall": stall, "hang": hang,
    "flip": flip, "wrong-length": wrong_length, "without-length": without_length,
    "wrong-range": wrong_range, "status": status, "loop": loop, "to-file": to_file,
    "huge-headers": huge_headers, "garbage": garbage, "changed-etag": changed_etag,
}
