"""Programs that are checkpointed warm and go on where they were: same answers, nothing lost."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.cuda import hugepages, known
from agent.cuda.helper.client import Helper
from agent.kernel import process
from tests.gpu.conftest import GIB, PROGRAMS, PYTHON, Box, Figures, Served

REQUESTS = 1000
WEIGHTS = Path("/var/lib/chrek-gpu-weights")


def there_and_back(box: Box, figures: Figures, source: Served, what: str, **asked: str) -> Served:
    """Capture, ask the source, end it, restore, ask the copy. asked: question=, many=."""
    before = source.get(asked["question"])
    made = box.checkpoint(source, "warm")
    assert source.get(asked["question"]) == before, "the source is not what it was"
    source.stop()
    copy, result = box.restore("warm", source, "copy")
    assert copy.get(asked["question"]) == before, "the copy is not what its source was"
    answers, seconds = copy.many(asked["many"], REQUESTS)
    assert len(answers) == 1
    figures.note(
        what,
        **measured(box.manifest("warm"), made, result),
        cold_start_s=source.cold_seconds,
        thousand_requests_s=seconds,
    )
    return copy


def measured(
    manifest: dict[str, Any], made: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """Of a capture and a restore. made, result: what the two commands said."""
    on_gpu = sum(each["bytes"] for each in manifest["gpu"]["processes"]) / GIB
    phases, back = manifest["phases"], result["phases"]
    stood = ("cuda-lock", "cuda-checkpoint", "dump", "files-frozen", "cuda-restore")
    return {
        "gpu_GiB": on_gpu,
        "image_GiB": sum(file["size_bytes"] for file in manifest["files"]) / GIB,
        "capture_s": made["seconds"],
        "source_stood_still_s": sum(phases.get(name, 0.0) for name in stood),
        "restore_s": result["seconds"],
        "gpu_to_host_GiB_s": on_gpu / phases["cuda-checkpoint"],
        "host_to_gpu_GiB_s": on_gpu / back["cuda-restore"],
        "capture": phases,
        "restore": back,
    }


def weights(shape: str) -> str:
    """A directory with the weights of `shape`, made at first use."""
    place = WEIGHTS / shape
    if not place.is_dir():
        program = str(PROGRAMS / "model.py")
        subprocess.run([PYTHON, program, "0", str(place), shape], check=True, timeout=300)
    return str(place)


@pytest.mark.parametrize("huge_pages", ["leave", "always"])
def test_tensors_a_graph_and_pinned_memory(
    box: Box, figures: Figures, monkeypatch: pytest.MonkeyPatch, huge_pages: str
) -> None:
    monkeypatch.setenv("CHREK_HUGE_PAGES", huge_pages)
    before = hugepages.chosen()
    source = box.run("source", "tensor.py", "16", "pinned")
    what = f"16 GiB of random bytes, huge pages {before if huge_pages == 'leave' else huge_pages}"
    there_and_back(box, figures, source, what, question="/", many="/")
    assert hugepages.chosen() == before


@pytest.mark.parametrize("shape", ["0.6b", "8b", "14b"])
def test_a_model_with_captured_graphs(box: Box, figures: Figures, shape: str) -> None:
    source = box.run("source", "model.py", weights(shape), shape)
    if shape != "0.6b":
        shutil.rmtree(WEIGHTS / shape)  # room for the images
    what = f"Qwen3-{shape.upper()}-shaped, CUDA graphs"
    there_and_back(box, figures, source, what, question="/generate?64", many="/step")


def test_a_compiled_model(box: Box, figures: Figures) -> None:
    options = ("--env", "TORCHINDUCTOR_COMPILE_THREADS=1")
    source = box.run("source", "model.py", weights("0.6b"), "0.6b", "compile", options=options)
    what = "Qwen3-0.6B-shaped, torch.compile"
    there_and_back(box, figures, source, what, question="/generate?64", many="/step")


async def test_workers_that_have_a_gpu_half_open_are_refused_by_name(
    box: Box, figures: Figures
) -> None:
    source = box.run("source", "model.py", weights("0.6b"), "0.6b", "compile")
    before = source.get("/generate?16")
    helper = Helper()
    for each in source.processes():
        if known.may_use_cuda(each.host_pid):
            answers = [
                (await helper._ask(call, 60.0, pid=each.host_pid)).result or "ok"
                for call in ("restore_thread", "state")
            ]
            mapped = known.maps_a_gpu(each.host_pid)
            found = process.descriptor_targets(each.host_pid).values()
            figures.note(
                f"torch.compile: {each.name} {each.pid} of {each.parent}", answers=answers,
                mapped=mapped, descriptors=sum("nvidia" in where for where in found),
            )  # fmt: skip
    await helper.close()
    done = box("checkpoint", source.name, "--as", "warm", code=None)
    assert "GPUWithoutContext" in done.err
    assert source.get("/generate?16") == before


def test_an_api_process_and_an_engine_process(box: Box, figures: Figures) -> None:
    source = box.run("source", "model.py", weights("0.6b"), "0.6b", "split")
    what = "API and engine process, 0.6B"
    there_and_back(box, figures, source, what, question="/generate?64", many="/step")
