"""A server as people run it: slow to warm up, ready when it answers.

    serve.py [--port 8000] [--warm-up SECONDS] [--message TEXT]

GET /healthz 200 once warm, 503 before; GET / what it is; GET /environment; GET /exit?code=N
ends it with that status. SIGTERM: it finishes and exits 0.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if where.path == "/healthz":
            warm = time.monotonic() >= self.server.warm_at
            self.answer(200 if warm else 503, {"warm": warm})
        elif where.path == "/environment":
            self.answer(200, dict(os.environ))
        elif where.path == "/exit":
            self.answer(200, {})
            self.server.end(int(parse_qs(where.query).get("code", ["0"])[0]))
        elif where.path == "/":
            self.answer(200, self.server.about())
        else:
            self.answer(404, {"error": "there is nothing here"})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    status = 0

    def __init__(self, port: int, warm_up_seconds: float, message: str) -> None:
        super().__init__(("0.0.0.0", port), Handler)
        self.message = message
        self.started_at = time.time()
        self.warm_at = time.monotonic() + warm_up_seconds

    def about(self) -> dict[str, object]:
        return {
            "message": self.message,
            "pid": os.getpid(),
            "argv": sys.argv,
            "host": os.uname().nodename,
            "started_at": self.started_at,
        }

    def end(self, status: int) -> None:
        self.status = status
        threading.Thread(target=self.shutdown).start()  # from its own thread it would wait forever


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--warm-up", type=float, default=float(os.environ.get("WARM_UP", "0")))
    parser.add_argument("--message", default=os.environ.get("MESSAGE", "hello"))
    chosen = parser.parse_args()
    server = Server(chosen.port, chosen.warm_up, chosen.message)
    signal.signal(signal.SIGTERM, lambda *_: server.end(0))
    print(f"listening on {chosen.port}", flush=True)
    server.serve_forever()
    print(f"ends with {server.status}", flush=True)
    sys.exit(server.status)


if __name__ == "__main__":
    main()
