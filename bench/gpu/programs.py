"""The programs of tests/gpu, as workloads; and what this machine lacks to run them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.cuda import known
from bench import commands, workload
from bench.failures import UnavailableError
from bench.workload import Workload

PASSED: Final = ("PATH", "LD_LIBRARY_PATH", "HOME")
SHAPES: Final = {"0.6b": 2.2, "8b": 16.4, "14b": 28.6}
"""Of model.py: GiB that they take on a GPU, and of weights less than that on disk."""
_MARGIN_BYTES: Final = 4 << 30
_SOURCES: Final = Path(__file__).parents[2] / "tests" / "gpu" / "programs"


@dataclass(frozen=True, slots=True)
class Program:
    """tensor.py with so many GiB of random bytes, or model.py in a shape of random weights."""

    name: str
    size_bytes: int
    shape: str = ""

    @property
    def ready_seconds(self) -> float:
        """About so long it takes to make a model's weights."""
        return 5 + 1.2 * self.size_bytes / 2**30 if self.shape else 0.0

    def fits(self, memory_bytes: int, disk_bytes: int, *, is_ready: bool = False) -> bool:
        """Whether so much holds what the GPU has twice, in the process and as images in the page
        cache, and the images beside a model's weights on disk, unless those are there."""
        on_disk = 2 if self.shape and not is_ready else 1
        return (
            memory_bytes >= 2 * self.size_bytes + _MARGIN_BYTES
            and disk_bytes >= on_disk * self.size_bytes + _MARGIN_BYTES
        )


def programs(sizes_gib: Sequence[float], shapes: Sequence[str]) -> list[Program]:
    """Tensors, then models, each from the smallest to the largest."""
    tensors = [Program(f"tensor, {size:g} GiB", int(size * 2**30)) for size in sorted(sizes_gib)]
    models = [
        Program(f"Qwen3-{shape.upper()}-shaped", int(size * 2**30), shape)
        for shape, size in SHAPES.items()
        if shape in shapes
    ]
    return [*tensors, *models]


def python() -> str:
    """The Python that has torch, and a driver below it; raises UnavailableError."""
    if not known.driver_version():
        raise UnavailableError("no NVIDIA driver runs on this machine: bench-gpu needs a GPU")
    wished = os.environ.get("CHREK_GPU_PYTHON") or "python3"
    found = shutil.which(wished)
    if found is None:
        raise UnavailableError(f"{wished} is not there: CHREK_GPU_PYTHON names a Python with torch")
    look = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
    if subprocess.run([found, "-c", look], check=False).returncode:
        raise UnavailableError(f"{found} has no torch: CHREK_GPU_PYTHON names a Python that has")
    return found


@contextmanager
def ready(program: Program, python: str, work: Path) -> Iterator[list[str]]:
    """What starts it, less its port; a model's weights are on disk for the block."""
    if not program.shape:
        yield [python, str(_copied("tensor.py", work)), f"{program.size_bytes / 2**30:g}"]
        return
    source, weights = str(_copied("model.py", work)), work / f"weights-{program.shape}"
    try:
        commands.output([python, source, "0", str(weights), program.shape])
        yield [python, source, str(weights), program.shape]
    finally:
        shutil.rmtree(weights, ignore_errors=True)


def made(program: Program, command: Sequence[str]) -> Workload:
    """One run of it, on a free port. command: of ready()."""
    port = workload.free_port()
    interpreter, source, *rest = command
    question = "/generate?64" if program.shape else "/"
    argv = [interpreter, source, str(port), *rest]
    return Workload(program.size_bytes, port, argv, question=question)


def _copied(name: str, work: Path) -> Path:
    """Where containers find it, too, and what it imports beside it."""
    for each in (name, "serving.py"):
        shutil.copyfile(_SOURCES / each, work / each)
    return work / name
