"""Several GPUs: processes that use more than one, and other GPUs than the source's."""

import dataclasses
import re
import subprocess

import pytest

from agent.runtime.runc.gpus import minors
from tests.gpu.conftest import Box, Figures, Served

pytestmark = pytest.mark.skipif(len(minors()) < 2, reason="this machine has not two GPUs")


def used_gpus(served: Served) -> set[str]:
    """The UUIDs of those that processes of its container hold memory of."""
    query = ["nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader"]
    lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    own = {str(each.host_pid) for each in served.processes()}
    return {uuid.strip() for pid, uuid in (line.split(",") for line in lines) if pid in own}


def test_one_process_on_two_gpus(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "4", "spread")
    before, used = source.get(), used_gpus(source)
    assert len(used) == 2
    box.checkpoint(source, "warm")
    assert source.get() == before
    source.stop()
    copy, result = box.restore("warm", source, "copy")
    assert copy.get() == before
    assert used_gpus(copy) == used
    figures.note("one process on two GPUs, 4 GiB", restore=result["phases"])


def test_two_processes_on_a_gpu_each(box: Box, figures: Figures) -> None:
    source = box.run("source", "pair.py", "2", "apart")
    other = dataclasses.replace(source, port=source.port + 1)
    other.wait()
    before = source.get(), other.get()
    assert len(used_gpus(source)) == 2
    box.checkpoint(source, "warm")
    assert (source.get(), other.get()) == before
    source.stop()
    copy, result = box.restore("warm", source, "copy")
    assert (copy.get(), dataclasses.replace(copy, port=other.port).get()) == before
    figures.note("two processes on a GPU each, 2 GiB each", restore=result["phases"])


def test_another_gpu_takes_the_place_of_the_sources(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "2", gpus="0")
    before, used = source.get(), used_gpus(source)
    box.checkpoint(source, "warm")
    source.stop()
    copy, _ = box.restore("warm", source, "copy", "--gpus", "1")
    elsewhere = used_gpus(copy)
    assert copy.get() == before
    assert len(elsewhere) == 1
    assert elsewhere != used
    box.checkpoint(copy, "moved")
    assert copy.get() == before
    copy.stop()
    back, _ = box.restore("moved", source, "back", "--gpus", "0")
    assert back.get() == before
    assert used_gpus(back) == used
    figures.note("a copy on another GPU, and a copy of it back", answers="the same")


def test_gpus_stay_in_their_places_in_whatever_order_they_are_given(box: Box) -> None:
    source = box.run("source", "tensor.py", "2", "spread", gpus="1,0")
    before, used = source.get(), used_gpus(source)
    box.checkpoint(source, "warm")
    source.stop()
    copy, _ = box.restore("warm", source, "copy", "--gpus", "0,1")
    assert copy.get() == before
    assert used_gpus(copy) == used


def test_another_number_of_gpus_is_refused(box: Box) -> None:
    source = box.run("source", "tensor.py", "1", gpus="0")
    before = source.get()
    box.checkpoint(source, "warm")
    source.stop()
    words = ("restore", "warm", "--name", "copy", "--on-failure", "fail")
    done = box(*words, "--gpus", "0,1", code=None)
    assert done.code != 0
    assert "GPUCountDiffers" in done.out + done.err
    copy, _ = box.restore("warm", source, "again")
    assert copy.get() == before


def test_processes_that_reduce_over_nccl_are_kept_or_refused_and_run_on(
    box: Box, figures: Figures
) -> None:
    source = box.run("source", "ranks.py")
    before = source.get()
    done = box("checkpoint", source.name, "--as", "warm", code=None)
    assert source.get() == before
    if done.code:
        said = (done.out + done.err).strip().splitlines()[-1]
        assert re.search(r"\((ManagedMemory|IoUring|CUDAFailed)\)$", said), said
        figures.note("NCCL between two processes", refused=said[-300:])
        return
    source.stop()
    copy, _ = box.restore("warm", source, "copy")
    assert copy.get() == before
    figures.note("NCCL between two processes", answers="the same")
