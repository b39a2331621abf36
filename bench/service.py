"""The service that every side checkpoints: N MiB of random memory behind HTTP.

Run: python -I -S service.py MEBIBYTES PORT. Nothing but the standard library, and nothing of
chrek. `/` answers with a token made at start; `/digest` reads all of the memory.
"""

import http.server
import os
import sys
import zlib

MEMORY = os.urandom(int(sys.argv[1]) << 20)
TOKEN = os.urandom(8).hex()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET."""

    def do_GET(self) -> None:
        """The token, or the token and a checksum of the whole memory."""
        words = [TOKEN] if self.path == "/" else [TOKEN, f"{zlib.crc32(MEMORY):08x}"]
        body = " ".join(words).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Quiet: a benchmark has no use for a log of requests."""


if __name__ == "__main__":
    server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print("ready", flush=True)
    server.serve_forever()
