"""How fast torch copies between a GPU and this machine's memory, with nothing of chrek.

Run by a Python that has torch: copies.py MEBIBYTES. Prints a JSON object for each kind of copy,
{"what", "seconds"}: the median of three copies of so many bytes. Ends with 3 where it cannot.

`fresh` memory is new: the copy makes its pages, as the driver does when a process is checkpointed.
"""

import functools
import json
import mmap
import statistics
import sys
import time
from collections.abc import Callable, Iterator

try:
    import torch  # type: ignore[import-not-found]
except ImportError:
    print(f"{sys.executable} has no torch: set CHREK_GPU_PYTHON", file=sys.stderr)
    sys.exit(3)
if not torch.cuda.is_available():
    print("torch finds no GPU", file=sys.stderr)
    sys.exit(3)

SIZE = int(sys.argv[1]) << 20
ROUNDS = 3
PAGES = {"small": mmap.MADV_NOHUGEPAGE, "huge": mmap.MADV_HUGEPAGE}


def pageable(pages: str) -> "torch.Tensor":
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(PAGES[pages])
    return torch.frombuffer(memory, dtype=torch.uint8)


def seconds(copy: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    began = time.monotonic()
    copy()
    torch.cuda.synchronize()
    return time.monotonic() - began


def copies(there: "torch.Tensor") -> Iterator[tuple[str, list[float]]]:
    def both(kind: str, here: "torch.Tensor") -> Iterator[tuple[str, list[float]]]:
        here.copy_(there)
        yield f"host to GPU, {kind}", [seconds(lambda: there.copy_(here)) for _ in range(ROUNDS)]
        yield f"GPU to host, {kind}", [seconds(lambda: here.copy_(there)) for _ in range(ROUNDS)]

    yield from both("pinned", torch.empty(SIZE, dtype=torch.uint8, pin_memory=True))
    for pages in PAGES:
        yield from both(f"pageable, {pages} pages", pageable(pages))
        fresh = [pageable(pages) for _ in range(ROUNDS)]
        name = f"GPU to host, pageable, fresh {pages} pages"
        yield name, [seconds(functools.partial(here.copy_, there)) for here in fresh]


on_gpu = torch.randint(0, 255, (SIZE,), dtype=torch.uint8, device="cuda")
for what, all_seconds in copies(on_gpu):
    print(json.dumps({"what": what, "seconds": statistics.median(all_seconds)}), flush=True)
