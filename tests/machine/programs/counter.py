"""An HTTP server whose state is only in memory, with threads and, if asked, a child process.

GET / counts and tells. GET /crash: SIGSEGV. GET /exit?N: exit with N. On SIGTERM it says goodbye
and exits with 0.
"""

import http.server
import json
import multiprocessing
import os
import secrets
import signal
import socket
import socketserver
import sys
import threading
import time

PORT = 8000


class State:
    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.count = 0
        self.ticks = 0
        self.child: multiprocessing.Process | None = None
        self.shared = None


STATE = State()


def tick() -> None:
    while True:
        STATE.ticks += 1
        time.sleep(0.02)


def count_on(shared, lock) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        with lock:
            shared.value += 1
        time.sleep(0.02)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.path.startswith("/exit"):
            os._exit(int(self.path.partition("?")[2]))
        STATE.count += 1
        body = json.dumps(
            {
                "token": STATE.token,
                "count": STATE.count,
                "ticks": STATE.ticks,
                "child": STATE.shared.value if STATE.shared is not None else None,
                "pid": os.getpid(),
                "ppid": os.getppid(),
                "uid": os.getuid(),
                "hostname": socket.gethostname(),
                "status": {
                    line.partition(":")[0]: line.partition(":")[2].strip()
                    for line in open("/proc/self/status")
                    if line.startswith(("Cap", "Seccomp:", "NoNewPrivs", "Uid", "Gid"))
                },
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *arguments: object) -> None:
        print(form % arguments, flush=True)


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self) -> None:
        """Without looking up its own name: a private network has no name server."""
        socketserver.TCPServer.server_bind(self)


def goodbye(number: int, frame: object) -> None:
    print("goodbye", flush=True)
    os._exit(0)


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "0.0.0.0"
    if address == "own":
        address = socket.gethostbyname(socket.gethostname())
    if "child" in sys.argv[2:]:
        STATE.shared = multiprocessing.Value("i", 0, lock=False)
        lock = multiprocessing.Lock()
        STATE.child = multiprocessing.Process(target=count_on, args=(STATE.shared, lock))
        STATE.child.start()
    for _ in range(8):
        threading.Thread(target=tick, daemon=True).start()
    signal.signal(signal.SIGTERM, goodbye)
    server = Server((address, PORT), Handler)
    print("ready", flush=True)
    server.serve_forever()


main()
