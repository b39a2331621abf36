"""A service with a slow start, as people write them: it loads its weights, builds an index,
warms up with sample questions, and only then says that it is ready.

Nothing in it knows of chrek. Run: python service.py WEIGHTS_FILE PORT
"""

import hashlib
import secrets
import sys
import zlib
from pathlib import Path

from aiohttp import web

BLOCK_BYTES = 4096
SAMPLE_QUESTIONS = 4_000
LOOKUPS_PER_QUESTION = 2_000


class Model:
    """Weights in memory and an index over them."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights.read_bytes()
        self.index: dict[int, int] = {}
        self.keys: list[int] = []
        self.session = secrets.token_hex(16)
        self.answered = 0

    def build_index(self) -> None:
        """Checksum of every block -> its place."""
        view = memoryview(self.weights)
        for start in range(0, len(view), BLOCK_BYTES):
            self.index[zlib.crc32(view[start : start + BLOCK_BYTES])] = start
        self.keys = sorted(self.index)

    def warm_up(self) -> None:
        """Answer sample questions, so that the first real one finds everything in place."""
        for number in range(SAMPLE_QUESTIONS):
            self.answer(f"sample question {number}")

    def answer(self, question: str) -> str:
        """The blocks that a question leads to, folded into one digest."""
        state = zlib.crc32(question.encode())
        digest = hashlib.sha256()
        for _ in range(LOOKUPS_PER_QUESTION):
            place = self.index[self.keys[state % len(self.keys)]]
            digest.update(self.weights[place : place + 64])
            state = zlib.crc32(self.weights[place : place + 64], state)
        return digest.hexdigest()


MODEL = web.AppKey("model", Model)


async def healthz(request: web.Request) -> web.Response:
    """Answers from the first moment at which questions are answered."""
    return web.json_response({"ready": True, "session": request.app[MODEL].session})


async def ask(request: web.Request) -> web.Response:
    """One question; the session was made at start and is not on any disk."""
    model = request.app[MODEL]
    answer = model.answer(request.query.get("q", ""))
    model.answered += 1
    body = {"answer": answer, "session": model.session, "answered": model.answered}
    return web.json_response(body)


def main(weights: Path, port: int) -> None:
    """Load, warm up, serve."""
    model = Model(weights)
    print(f"loaded {len(model.weights) >> 20} MiB", flush=True)
    model.build_index()
    print(f"indexed {len(model.index)} blocks", flush=True)
    model.warm_up()
    print("ready", flush=True)
    app = web.Application()
    app[MODEL] = model
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/ask", ask)
    web.run_app(app, port=port, print=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
