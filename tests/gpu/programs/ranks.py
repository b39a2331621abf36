"""Two processes on a GPU each that reduce over NCCL.

usage: ranks.py PORT   / is the sum of what both had, after one more reduction.
"""

import os
import sys
import threading

# Multicast over NVLink is not what is tried, and wants a machine of its own. The store of
# torch.distributed has libuv's io_uring otherwise, which CRIU cannot dump.
for name, value in (
    ("USE_LIBUV", "0"),
    ("NCCL_NVLS_ENABLE", "0"),
    ("TORCH_SYMM_MEM_DISABLE_MULTICAST", "1"),
    ("NVSHMEM_DISABLE_NVLS", "1"),
):
    os.environ[name] = value

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from serving import serve  # noqa: E402
from torch.multiprocessing import SimpleQueue, get_context  # noqa: E402

PORT, RANKS = int(sys.argv[1]), 2


def reduced(held: torch.Tensor) -> int:
    total = held.clone()
    dist.all_reduce(total)
    return int(total.sum())


def work(rank: int, asked: SimpleQueue, told: SimpleQueue) -> None:
    torch.cuda.set_device(rank)
    where = f"tcp://127.0.0.1:{PORT + 1}"
    dist.init_process_group("nccl", init_method=where, rank=rank, world_size=RANKS)
    held = torch.full((1 << 20,), rank + 1, dtype=torch.int64, device="cuda")
    reduced(held)
    told.put(0)
    while True:
        asked.get()
        told.put(reduced(held))


def answer(path: str) -> object:
    if path == "/health":
        return {"ok": True}
    with lock:
        for queue in asked:
            queue.put(0)
        return [queue.get() for queue in told]


if __name__ == "__main__":
    context, lock = get_context("spawn"), threading.Lock()
    asked = [context.SimpleQueue() for _ in range(RANKS)]
    told = [context.SimpleQueue() for _ in range(RANKS)]
    for rank in range(RANKS):
        context.Process(target=work, args=(rank, asked[rank], told[rank]), daemon=True).start()
    for queue in told:
        queue.get()
    serve(PORT, answer)
