"""A GPU program: GIB of random bytes on the GPU, a captured CUDA graph, and a thread that beats.

usage: tensor.py PORT GIB [pinned] [flight] [managed] [spread] [on=N]
    spread: its bytes are on all GPUs by turns. on: all of it is on GPU number N. pinned: some of
    its host memory is pinned. flight: a thread always has work in flight on a stream of its own,
    with events recorded between. managed: it has some unified memory, too.

Serves HTTP: / is the sum of what is on the GPU and what a replay of the graph gives; /health needs
no GPU; /beats is how often the thread has beaten; /busy/SECONDS keeps the GPU at work; /flight is
what was put into flight and what arrived.
"""

import os
import sys
import threading
import time

import torch
from serving import serve

PORT, GIB = int(sys.argv[1]), float(sys.argv[2])
PINNED = "pinned" in sys.argv
lock = threading.Lock()
beats = 0


def beat() -> None:
    global beats
    while True:
        beats += 1
        time.sleep(0.002)


torch.manual_seed(7)
number = next((int(word[3:]) for word in sys.argv if word.startswith("on=")), 0)
torch.cuda.set_device(number)
device = torch.device("cuda", number)
count = torch.cuda.device_count() if "spread" in sys.argv else 1
blocks = []
left = int(GIB * (1 << 30))
while left > 0:
    size, where = min(left, 1 << 30), (number + len(blocks)) % count if count > 1 else number
    made = torch.randint(0, 255, (size,), dtype=torch.uint8, device=torch.device("cuda", where))
    blocks.append(made)
    left -= size
pinned = torch.arange(1 << 22, dtype=torch.float32).pin_memory() if PINNED else None
weight = torch.randn(2048, 2048, device=device)
static = torch.randn(64, 2048, device=device)
stream = torch.cuda.Stream()
with torch.cuda.stream(stream):
    for _ in range(3):
        out = torch.tanh(static @ weight)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    out = torch.tanh(static @ weight)


def look() -> dict[str, object]:
    with lock:
        graph.replay()
        torch.cuda.synchronize()
        found: dict[str, object] = {
            "sums": [int(block.view(torch.int64).sum()) for block in blocks],
            "graph": float(out.double().sum()),
        }
        if pinned is not None:
            found["pinned"] = float(pinned.to(device, non_blocking=True).double().sum())
        return found


if "managed" in sys.argv:
    from cuda.bindings import runtime

    result, _ = runtime.cudaMallocManaged(64 << 20, runtime.cudaMemAttachGlobal)
    assert int(result) == 0


class Flight:
    def __init__(self) -> None:
        self.arrived = torch.zeros(1, dtype=torch.int64, device=device)
        self.sent, self.lock, self.stream = 0, threading.Lock(), torch.cuda.Stream()
        self.events = [torch.cuda.Event() for _ in range(16)]

    def fly(self) -> None:
        number = 0
        while True:
            event = self.events[number % len(self.events)]
            event.synchronize()  # of sixteen rounds ago
            with self.lock, torch.cuda.stream(self.stream):
                for _ in range(50):
                    self.arrived.add_(1)
                    self.sent += 1
                event.record()
            number += 1

    def look(self) -> dict[str, int]:
        with self.lock:
            self.stream.synchronize()
            return {"sent": self.sent, "arrived": int(self.arrived)}


def answer(path: str) -> object:
    if path == "/health":
        return {"ok": True, "pid": os.getpid()}
    if path == "/beats":
        return {"beats": beats}
    if path == "/flight":
        return flight.look()
    if path.startswith("/busy/"):
        # clock cycles at some 2 GHz
        torch.cuda._sleep(int(float(path[6:]) * 2e9))
        return {}
    return look()


look()
threading.Thread(target=beat, daemon=True).start()
flight = Flight()
if "flight" in sys.argv:
    threading.Thread(target=flight.fly, daemon=True).start()
print("ready", flush=True)
serve(PORT, answer)
