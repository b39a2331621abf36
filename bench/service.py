"""The service that every side checkpoints: N MiB of memory behind HTTP.

Run: python -I -S service.py MEBIBYTES PORT [random|half-zero|zero|weights|text]. Nothing but the
standard library, and nothing of chrek. `/` answers with a token made at start; `/digest` reads all
of the memory.
"""

import array
import http.server
import mmap
import os
import random
import sys
import threading
import zlib
from collections.abc import Callable

_SIZE = int(sys.argv[1]) << 20
_TILE = 16 << 20


def _made(data: str) -> mmap.mmap:
    """All of it is written to, zeroes too. Random bytes are made once, which is slow, and turned a
    little for each tile: no two pages are equal, nor are two blocks that a compressor sees at once.
    """
    memory = mmap.mmap(-1, _SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    zeroes = {"half-zero": _SIZE // 2, "zero": _SIZE}.get(data, 0)
    view = memoryview(memory)
    zero, seed = os.open("/dev/zero", os.O_RDONLY), os.memfd_create("seed")
    os.write(seed, {"weights": _weights, "text": _text}.get(data, os.urandom)(_TILE) * 2)

    def tile(number: int) -> None:
        at = number * _TILE
        end = min(at + _TILE, _SIZE)
        cut = min(max(at, zeroes), end)
        _read(zero, view[at:cut], 0)
        _read(seed, view[cut:end], number * 4099 % _TILE)

    _spread(tile)
    os.close(zero)
    os.close(seed)
    return memory


def _weights(size: int) -> bytes:
    """Numbers as a model has them: bfloat16, normally distributed."""
    numbers = array.array("f", (random.gauss(0, 0.02) for _ in range(size // 16)))
    whole = numbers.tobytes()
    made = bytearray(size // 8)
    made[::2], made[1::2] = whole[2::4], whole[3::4]
    return bytes(made) * 8


def _text(size: int) -> bytes:
    """Words and numbers as a program's heap and its logs have them."""
    line = '{"request": %d, "seconds": %.4f, "path": "/v1/completions", "status": "ok"}\n'
    lines = (line % (random.getrandbits(40), random.random()) for _ in range(size // 8 // 80))
    return ("".join(lines).encode().ljust(size // 8) * 8)[:size]


def _read(descriptor: int, view: memoryview, offset: int) -> None:
    """Fill `view`; other threads run meanwhile."""
    while view:
        size = os.preadv(descriptor, [view], offset)
        view, offset = view[size:], offset + size


def _spread(work: Callable[[int], object]) -> None:
    """Do it with the number of each tile, by a thread for each core, none of which stays."""
    numbers = iter(range(-(-_SIZE // _TILE)))

    def some() -> None:
        for number in numbers:
            work(number)

    threads = [threading.Thread(target=some) for _ in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sum() -> str:
    """Of the whole memory."""
    view = memoryview(MEMORY)
    sums: dict[int, int] = {}

    def tile(number: int) -> None:
        sums[number] = zlib.crc32(view[number * _TILE : (number + 1) * _TILE])

    _spread(tile)
    return f"{zlib.crc32(repr(sorted(sums.items())).encode()):08x}"


MEMORY = _made(sys.argv[3] if len(sys.argv) > 3 else "random")
TOKEN = os.urandom(8).hex()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET."""

    def do_GET(self) -> None:
        """The token, or the token and a checksum of the whole memory."""
        words = [TOKEN] if self.path == "/" else [TOKEN, _sum()]
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
