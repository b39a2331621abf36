"""A model server: a transformer of Qwen3's shapes, its weights random but from disk, its decoding a
captured CUDA graph.

usage: model.py PORT WEIGHTS SHAPE [compile] [split]
    WEIGHTS: directory, filled first if it is not there (`model.py 0 WEIGHTS SHAPE` only does that).
    compile: one decoding step goes through torch.compile.
    split: the HTTP server is a process of its own, which talks to the engine over a socket.

HTTP: /health (no GPU needed), /generate?TOKENS (greedy, from a fixed prompt), /step (one token).
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from serving import serve

STARTED = time.time()
PORT, WEIGHTS, SHAPE = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
# hidden, layers, heads, heads of keys and values, intermediate: as Qwen3's config.json has them
SHAPES = {
    "0.6b": (1024, 28, 16, 8, 3072),
    "8b": (4096, 36, 32, 8, 12288),
    "14b": (5120, 40, 40, 8, 17408),
}
HIDDEN, LAYERS, HEADS, GROUPS, INNER = SHAPES[SHAPE]
WIDTH, VOCABULARY, CONTEXT, BATCH = 128, 151936, 512, 4
PROMPT = [11, 523, 90210, 7, 1999, 42]


def matrices() -> dict[str, tuple[int, ...]]:
    """Of one layer."""
    return {
        "qkv": ((HEADS + 2 * GROUPS) * WIDTH, HIDDEN),
        "out": (HIDDEN, HEADS * WIDTH),
        "up": (2 * INNER, HIDDEN),
        "down": (HIDDEN, INNER),
        "norm1": (HIDDEN,),
        "norm2": (HIDDEN,),
        "normq": (WIDTH,),
        "normk": (WIDTH,),
    }


def write() -> None:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(3)
    WEIGHTS.mkdir(parents=True)

    def random(*size: int) -> "torch.Tensor":
        if len(size) == 1:
            return torch.ones(size, dtype=torch.bfloat16)
        made = torch.randn(size, dtype=torch.bfloat16, device="cuda") * size[-1] ** -0.5
        return made.cpu()

    for layer in range(LAYERS):
        tensors = {name: random(*size) for name, size in matrices().items()}
        save_file(tensors, WEIGHTS / f"layer-{layer:02}.safetensors")
    ends = {"embedding": random(VOCABULARY, HIDDEN), "norm": random(HIDDEN)}
    if SHAPE != "0.6b":
        ends["head"] = random(VOCABULARY, HIDDEN)
    save_file(ends, WEIGHTS / "ends.safetensors")


class Engine:
    def __init__(self) -> None:
        import torch
        from safetensors.torch import load_file

        self.torch = torch
        device = torch.device("cuda")
        layers = [
            load_file(WEIGHTS / f"layer-{layer:02}.safetensors", device="cuda")
            for layer in range(LAYERS)
        ]
        ends = load_file(WEIGHTS / "ends.safetensors", device="cuda")
        head = ends.get("head", ends["embedding"])
        size = (LAYERS, BATCH, GROUPS, CONTEXT, WIDTH)
        keys = torch.zeros(size, dtype=torch.bfloat16, device=device)
        values = torch.zeros(size, dtype=torch.bfloat16, device=device)
        places = torch.arange(CONTEXT, device=device)
        rates = 1e6 ** (-torch.arange(0, WIDTH, 2, device=device) / WIDTH)
        angles = places[:, None] * rates[None, :]
        cosines, sines = angles.cos().bfloat16(), angles.sin().bfloat16()
        self.tokens = torch.zeros(BATCH, dtype=torch.int64, device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.next = torch.zeros(BATCH, dtype=torch.int64, device=device)
        self.lock = threading.Lock()

        def normed(x, weight):
            wide = x.float()
            return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(
                x.dtype
            ) * weight

        def turned(x, cosine, sine):
            left, right = x[..., : WIDTH // 2], x[..., WIDTH // 2 :]
            return torch.cat((left * cosine - right * sine, right * cosine + left * sine), -1)

        def step(tokens, place):
            x = ends["embedding"][tokens]
            cosine, sine = cosines[place], sines[place]
            later = places > place
            for number, weights in enumerate(layers):
                qkv = normed(x, weights["norm1"]) @ weights["qkv"].T
                q, k, v = qkv.view(BATCH, HEADS + 2 * GROUPS, WIDTH).split(
                    (HEADS, GROUPS, GROUPS), 1
                )
                q = turned(normed(q, weights["normq"]), cosine, sine)
                k = turned(normed(k, weights["normk"]), cosine, sine)
                keys[number].index_copy_(2, place, k[:, :, None])
                values[number].index_copy_(2, place, v[:, :, None])
                grouped = q.view(BATCH, GROUPS, HEADS // GROUPS, WIDTH)
                scores = grouped @ keys[number].transpose(-1, -2) * WIDTH**-0.5
                scores = scores.masked_fill(later, float("-inf")).float().softmax(-1)
                seen = (scores.to(x.dtype) @ values[number]).reshape(BATCH, HEADS * WIDTH)
                x = x + seen @ weights["out"].T
                gate, up = (normed(x, weights["norm2"]) @ weights["up"].T).chunk(2, -1)
                x = x + (torch.nn.functional.silu(gate) * up) @ weights["down"].T
            return (normed(x, ends["norm"]) @ head.T).argmax(-1)

        if "compile" in sys.argv:
            step = torch.compile(step)

        def whole() -> None:
            self.next.copy_(step(self.tokens, self.place))
            self.place.add_(1)

        with torch.no_grad():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    whole()
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                whole()
        self.generate(2)

    def generate(self, count: int) -> list[int]:
        with self.lock:
            self.place.zero_()
            found = []
            for token in PROMPT:
                self.tokens.fill_(token)
                self.graph.replay()
            for _ in range(count):
                found.append(int(self.next[0]))
                self.tokens.copy_(self.next)
                self.graph.replay()
            self.torch.cuda.synchronize()
            return found

    def step(self) -> int:
        """One replay of the graph, always of the same token at the same place."""
        with self.lock:
            self.place.zero_()
            self.tokens.fill_(PROMPT[0])
            self.graph.replay()
            return int(self.next[0])

    def answer(self, path: str) -> object:
        name, _, rest = path.partition("?")
        if name == "/generate":
            return {"tokens": self.generate(int(rest or 32))}
        if name == "/step":
            return {"token": self.step()}
        return {"ok": True, "ready_seconds": READY}


READY = 0.0


class Remote:
    """The engine in another process, behind a socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, __file__, *sys.argv[1:4], f"engine={theirs.fileno()}"]
        command += [word for word in sys.argv[4:] if word == "compile"]
        subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.file = ours.makefile("rw")
        self.lock = threading.Lock()
        self.file.readline()

    def answer(self, path: str) -> object:
        if path == "/health":
            return {"ok": True, "ready_seconds": READY}
        with self.lock:
            self.file.write(path + "\n")
            self.file.flush()
            return json.loads(self.file.readline())


def serve_socket(number: int) -> None:
    engine = Engine()
    file = socket.socket(fileno=number).makefile("rw")
    file.write("ready\n")
    file.flush()
    for path in file:
        file.write(json.dumps(engine.answer(path.strip())) + "\n")
        file.flush()


def main() -> None:
    global READY
    if not WEIGHTS.is_dir():
        write()
    if PORT == 0:
        return
    for word in sys.argv[4:]:
        if word.startswith("engine="):
            serve_socket(int(word[7:]))
            return
    engine = Remote() if "split" in sys.argv else Engine()
    READY = time.time() - STARTED
    print("ready", os.getpid(), flush=True)
    serve(PORT, engine.answer)


main()
