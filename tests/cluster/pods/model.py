"""A model server as people run them: it loads for a while, and then answers out of its memory.

    model.py [--port 8000] [--load SECONDS] [--mebibytes N] [--message TEXT] [--worker]
             [--log FILE] [--open FILE]... [--watch PATH]...

It listens once it has loaded. GET / what it is, its token made anew at every load; /healthz;
/hash of the model as it lies in memory; /count one more each time; /worker the same of another
process; /open each file of --open as its descriptor has it; /read?path=P; /changes seen in what
is watched; /log; /environment; /say?words=W on its output; /exit?code=N ends it with that status.
SIGTERM: it says so, and exits 0.
"""

import argparse
import ctypes
import hashlib
import json
import multiprocessing
import os
import secrets
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO
from urllib.parse import parse_qs, urlsplit

ANY_CHANGE = 0x00000FFE  # all of inotify's events but IN_ACCESS


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(where.query).items()}
        answer = getattr(self.server.model, where.path.strip("/") or "about", None)
        if where.path == "/exit":
            self.answer(200, {})
            self.server.end(int(asked.get("code", "0")))
        elif where.path.startswith("/_") or not callable(answer):
            self.answer(404, {"error": "there is nothing here"})
        else:
            self.server.model._answers()
            address = self.connection.getsockname()[0]
            found = answer(**asked)
            self.answer(200, {**found, "address": address} if where.path == "/" else found)

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes would fill the log."""


class Model:
    """What is in memory; its public methods are what can be asked for."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._started = time.time()
        self._chosen = chosen
        self._lock = threading.Lock()
        self._worker = start_worker() if chosen.worker else None
        self._log = open_log(chosen.log) if chosen.log else None
        self._open = {path: os.open(path, os.O_RDONLY) for path in chosen.open}
        self._changes: list[list[str]] = []
        if chosen.watch:
            watch(chosen.watch, self._changes)
        time.sleep(chosen.load)
        self._content = os.urandom(chosen.mebibytes << 20)
        self._token = secrets.token_hex(8)
        self._counted = 0
        self._first_answers: dict[str, float] = {}
        self._say("loaded")

    def _answers(self) -> None:
        """A restored process finds itself in another pod: the first answer is counted in each."""
        self._first_answers.setdefault(os.uname().nodename, time.time())

    def _say(self, words: str) -> None:
        print(words, flush=True)
        if self._log:
            self._log.write(f"{words}\n")

    def about(self) -> dict[str, object]:
        return {
            "message": self._chosen.message,
            "token": self._token,
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "etc_hostname": Path("/etc/hostname").read_text().strip(),
            "counted": self._counted,
            "started_at": self._started,
            "first_answer_at": self._first_answers[os.uname().nodename],
        }

    def healthz(self) -> dict[str, object]:
        return {"warm": True}

    def hash(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    def count(self) -> int:
        with self._lock:
            self._counted += 1
            self._say(f"counted {self._counted}")
            return self._counted

    def worker(self) -> object:
        assert self._worker, "started without --worker"
        with self._lock:
            self._worker.send("count")
            return self._worker.recv()

    def open(self) -> dict[str, dict[str, str]]:
        return {
            path: {
                "is": str(Path(f"/proc/self/fd/{descriptor}").readlink()),
                "text": os.pread(descriptor, 1 << 16, 0).decode(),
            }
            for path, descriptor in self._open.items()
        }

    def read(self, path: str) -> str:
        return Path(path).read_text()

    def log(self) -> str:
        return Path(self._chosen.log).read_text()

    def changes(self) -> list[list[str]]:
        return self._changes

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def say(self, words: str) -> dict[str, object]:
        self._say(words)
        return {}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    status = 0

    def __init__(self, port: int, model: Model) -> None:
        super().__init__(("0.0.0.0", port), Handler)
        self.model = model

    def handle_error(self, *_: object) -> None:
        """Who asked did not wait for the answer."""

    def end(self, status: int) -> None:
        self.status = status
        threading.Thread(target=self.shutdown).start()  # from its own thread it would wait forever


def open_log(path: str) -> TextIO:
    return Path(path).open("a", buffering=1)


def start_worker() -> Connection:
    """Another process, which counts what it is sent."""
    here, there = multiprocessing.Pipe()

    def work() -> None:
        counted = 0
        while there.recv():
            counted += 1
            there.send({"counted": counted, "pid": os.getpid(), "parent": os.getppid()})

    multiprocessing.Process(target=work, daemon=True).start()
    return here


def watch(paths: list[str], changes: list[list[str]]) -> None:
    """Note what inotify tells of these paths: which it is, and the name in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    numbers = {}
    for path in paths:
        number = libc.inotify_add_watch(descriptor, path.encode(), ANY_CHANGE)
        assert number >= 0, os.strerror(ctypes.get_errno())
        numbers[number] = path

    def listen() -> None:
        while buffer := os.read(descriptor, 1 << 16):
            while buffer:
                number, _, _, size = struct.unpack_from("iIII", buffer)
                name = buffer[16 : 16 + size].rstrip(b"\0").decode()
                changes.append([numbers.get(number, "?"), name])
                buffer = buffer[16 + size :]

    threading.Thread(target=listen, daemon=True).start()


def finish(model: Model, end: Callable[[int], None]) -> None:
    model.say("SIGTERM: it finishes")
    end(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--load", type=float, default=float(os.environ.get("LOAD", "0")))
    parser.add_argument("--mebibytes", type=int, default=int(os.environ.get("MEBIBYTES", "1")))
    parser.add_argument("--message", default=os.environ.get("MESSAGE", "hello"))
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--log")
    parser.add_argument("--open", action="append", default=[])
    parser.add_argument("--watch", action="append", default=[])
    model = Model(chosen := parser.parse_args())
    server = Server(chosen.port, model)
    signal.signal(signal.SIGTERM, lambda *_: finish(model, server.end))
    print(f"listening on {chosen.port}", flush=True)
    server.serve_forever()
    print(f"ends with {server.status}", flush=True)
    sys.exit(server.status)


if __name__ == "__main__":
    main()
