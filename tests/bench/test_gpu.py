"""The benchmark on a GPU, as far as it needs none: its cases with a program that has no GPU and a
driver that only takes notes."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from agent.criu import bundle as bundles
from agent.cuda.driver import State
from bench import caches, entry, results, workload
from bench.chrek_side import Chrek
from bench.failures import SideFailedError, UnavailableError
from bench.gpu import __main__ as gpu
from bench.gpu import cases, programs, stock, verdicts
from bench.gpu.cases import How
from bench.gpu.order import Memory, OnGPU
from bench.gpu.programs import Program
from bench.gpu.running import Running
from bench.node_side import Node

PROGRAM = """
import http.server, os, sys, zlib
content = os.urandom(24 << 20)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"ok" if self.path == "/health" else str(zlib.crc32(content)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SMALL = Program("small", 24 << 20)
CUDA = ["cuda-lock", "cuda-checkpoint", "dump", "cuda-restore"]


class Noted:
    """A driver for which every call is fine."""

    calls: list[str]

    async def inventory(self) -> None:
        pass

    async def lock(self, *_: object) -> None:
        self.calls.append("lock")

    async def checkpoint(self, *_: object) -> None:
        self.calls.append("checkpoint")

    async def restore(self, *_: object) -> None:
        self.calls.append("restore")

    async def unlock(self, *_: object) -> None:
        self.calls.append("unlock")

    async def state(self, *_: object) -> State:
        return State.CHECKPOINTED

    async def close(self) -> None:
        pass


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def command(work: Path) -> list[str]:
    (work / "program.py").write_text(PROGRAM)
    return [str(workload.PYTHON), str(work / "program.py")]


def test_bare_criu_stands_between_the_drivers_calls(
    work: Path, command: list[str], stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(Noted, "calls", calls, raising=False)
    monkeypatch.setattr(stock, "Helper", Noted)
    side = stock.Stock(work, bundles.find())
    stack.callback(entry.closed, side)
    how = How(cases.VARIANTS["criu"], ["page", "disk"], 1)
    cold, checkpoint, page, disk = cases.measured(side, SMALL, command, how)
    assert calls == ["lock", "checkpoint", "restore", "unlock", *["restore", "unlock"] * 2]
    assert (cold["case"], checkpoint["case"], page["case"]) == (
        "cold start",
        "checkpoint",
        "restore",
    )
    assert list(checkpoint["phases"]) == CUDA
    assert checkpoint["image_bytes"] > 24 << 20
    assert list(page["phases"]) == ["criu", "cuda-restore"]
    assert [page["cache"], disk["cache"]] == ["page", "disk"]
    assert page["GiB_per_second"]["criu"] > 0


def test_chrek_restores_what_it_captured(work: Path, command: list[str], stack: ExitStack) -> None:
    side = Chrek(work)
    stack.callback(entry.closed, side)
    how = How(cases.VARIANTS["chrek-always"], ["page"], 1)
    _, checkpoint, restore = cases.measured(side, SMALL, command, how)
    assert checkpoint["huge_pages"] == "always"
    assert checkpoint["image_bytes"] > 24 << 20
    assert restore["rounds"] == 1
    assert restore["first_answer_seconds"] >= restore["total_seconds"]


def test_a_node_restores_from_its_copy_and_from_the_volume(
    work: Path, command: list[str], stack: ExitStack
) -> None:
    side = Node(
        work / "node", {"tmpfs": stack.enter_context(caches.tmpfs(work / "memory")) / "kept"}
    )
    stack.callback(entry.closed, side)
    how = How(cases.VARIANTS["chrek-node"], ["tmpfs", "disk"], 1)
    _, checkpoint, *restores = cases.measured(side, SMALL, command, how)
    assert (checkpoint["system"], checkpoint["huge_pages"]) == ("chrek node", "always")
    assert checkpoint["GiB_per_second"]["copy"] > 0
    assert [row["read_from"] for row in restores] == ["node", "volume"]
    (gain,) = verdicts.gains(restores)
    assert "small: " in gain
    assert "s from the node's copy (tmpfs), " in gain


def test_a_program_that_fails_is_told_with_its_last_words(
    work: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "_ANSWER_SECONDS", 1.0)
    (work / "program.py").write_text("raise SystemExit('no such GPU')")
    side = Chrek(work)
    stack.callback(entry.closed, side)
    command = [str(workload.PYTHON), str(work / "program.py")]
    with pytest.raises(SideFailedError, match="no such GPU"):
        list(cases.measured(side, SMALL, command, How(cases.VARIANTS["chrek"], ["page"], 1)))


def test_a_machine_without_a_gpu_is_told_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "NVIDIA driver" in done.stderr or "root" in done.stderr


def test_a_python_without_torch_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cuda.known.driver_version", lambda: "580.1")
    monkeypatch.setenv("CHREK_GPU_PYTHON", sys.executable)
    with pytest.raises(UnavailableError, match="CHREK_GPU_PYTHON"):
        programs.python()


@pytest.mark.skipif("torch" in sys.modules, reason="torch is there")
def test_raw_copies_without_torch_end_with_3() -> None:
    copies = Path(gpu.__file__).with_name("copies.py")
    done = subprocess.run(
        [sys.executable, "-I", str(copies), "16"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no torch" in done.stderr) == (3, True)


def test_programs_are_listed_from_the_smallest_to_the_largest() -> None:
    made = programs.programs([16, 2.5], ["8b", "0.6b"])
    names = ["tensor, 2.5 GiB", "tensor, 16 GiB", "Qwen3-0.6B-shaped", "Qwen3-8B-shaped"]
    assert [each.name for each in made] == names


def test_the_most_wanted_comes_first() -> None:
    steps = gpu._steps(gpu._asked(["--sizes", "2", "--models", "8b", "--threads", "3"]))
    assert [each.name for each in steps] == [
        "16 GiB without a GPU",
        "32 GiB without a GPU",
        "Qwen3-8B-shaped, chrek-always",
        "Qwen3-8B-shaped, criu",
        "Qwen3-8B-shaped, chrek-node",
        "56 GiB without a GPU",
        "64 GiB without a GPU",
        "Qwen3-8B-shaped, chrek",
        "tensor, 2 GiB, chrek-always",
        "tensor, 2 GiB, criu",
        "tensor, 2 GiB, chrek-node",
        "tensor, 2 GiB, chrek",
    ]
    assert [each.threads for each in steps if isinstance(each, Memory)] == [[3], (), (), ()]


def test_checkpoints_on_a_tmpfs_come_last_and_none_of_a_node() -> None:
    words = ["--sizes", "2", "--models", "--memory", "--sides", "chrek-node", "criu"]
    steps = gpu._steps(gpu._asked([*words, "--cache", "disk", "tmpfs"]))
    assert [(each.name, each.cached) for each in steps if isinstance(each, OnGPU)] == [
        ("tensor, 2 GiB, chrek-node", ["disk"]),
        ("tensor, 2 GiB, criu", ["disk"]),
        ("tensor, 2 GiB, criu", ["tmpfs"]),
    ]


def test_everything_that_is_wanted_of_an_h200_fits_into_a_run() -> None:
    steps = gpu._steps(gpu._asked([]))[:5]
    seconds = [
        each.seconds(["chrek", "criu"]) if isinstance(each, Memory) else each.seconds
        for each in steps
    ]
    (program,) = {each.program for each in steps if isinstance(each, OnGPU)}
    assert sum(seconds) + program.ready_seconds < 480


def test_a_model_needs_room_for_its_weights_too() -> None:
    tensor, model = Program("tensor", 16 << 30), Program("model", 16 << 30, "8b")
    assert tensor.fits(40 << 30, 24 << 30)
    assert not model.fits(40 << 30, 24 << 30)
    assert model.fits(40 << 30, 24 << 30, is_ready=True)
    assert model.fits(40 << 30, 36 << 30)
    assert not model.fits(30 << 30, 36 << 30)


def test_a_program_brings_what_it_imports_beside_it(work: Path) -> None:
    with programs.ready(Program("tensor", 1 << 30), "python3", work) as command:
        source = Path(command[1])
    tree = ast.parse(source.read_text())
    imported = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    beside = {each.stem for each in programs._SOURCES.glob("*.py")} & imported
    assert beside == {"serving"}
    assert all((source.parent / f"{each}.py").exists() for each in beside)


@pytest.mark.parametrize("words", [["--sizes", "0"], ["--rounds", "0"], ["--cache", "tape"]])
def test_what_cannot_be_run_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        gpu._asked(words)


@pytest.mark.parametrize("seconds", ["600", "0"])
def test_a_run_writes_rows_and_begins_nothing_beyond_its_budget(
    work: Path,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: str,
) -> None:
    monkeypatch.setattr(Noted, "calls", [], raising=False)
    monkeypatch.setattr(stock, "Helper", Noted)
    monkeypatch.setattr(programs, "python", lambda: command[0])
    monkeypatch.setattr(programs, "ready", lambda *_: nullcontext(command))
    monkeypatch.setattr(entry, "undisturbed", lambda: None)
    place = work / "latest.json"
    words = ["--sizes", "0.02", "--models", "--sides", "criu", "--limit-gib", "0"]
    words += ["--memory", "0.04", "--threads", "1"]
    words += ["--budget-seconds", seconds, "--work", str(work), "--json", str(place)]
    assert gpu._run(gpu._asked(words)) == 0
    printed = capsys.readouterr().out
    if seconds == "0":
        assert "left out: tensor, 0.02 GiB" in printed
        assert not place.exists() or json.loads(place.read_text()) == []
        return
    rows = json.loads(place.read_text())
    on_gpu = [row for row in rows if row["part"] == "gpu"]
    assert [row["case"] for row in on_gpu] == ["cold start", "checkpoint", "restore"]
    without = [row for row in rows if row["part"] == "large"]
    assert [(row["case"], row["system"], row.get("threads")) for row in without] == [
        ("checkpoint", "chrek", None),
        ("restore", "chrek", 0),
        ("restore", "chrek", 1),
        ("checkpoint", "criu", None),
        ("restore", "criu", 0),
    ]
    assert all(row["machine"]["cores"] > 0 for row in rows)
    assert "restore     tensor, 0.02 GiB, criu, page" in printed
    assert "restore     0.03906 GiB without a GPU, chrek, 1 thread, tmpfs" in printed
    assert "left out" not in printed


def test_an_interrupted_run_tells_what_it_had(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def first_only(self: Running, step: object) -> None:
        row = results.row("checkpoint", 1 << 30, "chrek", total_seconds=7.25, frozen_seconds=1.0)
        self.without.add([row])
        raise KeyboardInterrupt

    monkeypatch.setattr(programs, "python", lambda: sys.executable)
    monkeypatch.setattr(Running, "step", first_only)
    monkeypatch.setattr(entry, "undisturbed", lambda: None)
    place = work / "latest.json"
    words = ["--limit-gib", "0", "--work", str(work), "--json", str(place)]
    with pytest.raises(KeyboardInterrupt):
        gpu._run(gpu._asked(words))
    assert "7.25" in capsys.readouterr().out
    assert len(json.loads(place.read_text())) == 1
