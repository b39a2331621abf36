"""One process through several captures, and copies of copies."""

import dataclasses
import itertools
import time

from tests.gpu.conftest import Box, Figures, knocking


def test_three_captures_of_one_process_and_then_of_its_copies(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "2", "pinned")
    before = source.get()
    for number in range(3):
        box.checkpoint(source, f"cycle-{number}")
        assert source.get() == before
    for number in range(2):
        source.stop()
        source, _ = box.restore(f"cycle-{2 + number}", source, f"copy-{number}")
        assert source.get() == before
        box.checkpoint(source, f"cycle-{3 + number}")
        assert source.get() == before
    figures.note("three captures of one process, two of its copies", answers="the same")


def test_two_cuda_processes_and_one_without(box: Box, figures: Figures) -> None:
    source = box.run("source", "pair.py", "2")
    other = dataclasses.replace(source, port=source.port + 1)
    other.wait()
    before = source.get(), other.get()
    box.checkpoint(source, "warm")
    assert (source.get(), other.get()) == before
    source.stop()
    copy, _ = box.restore("warm", source, "copy")
    assert (copy.get(), dataclasses.replace(copy, port=other.port).get()) == before
    users = box.manifest("warm")["gpu"]["processes"]
    assert len(users) == 2
    figures.note("two CUDA processes and one without", gpu_bytes=[each["bytes"] for each in users])


def test_work_in_flight_arrives(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "1", "flight")
    begun = source.get("/flight")
    box.checkpoint(source, "warm")
    later = source.get("/flight")
    assert later["sent"] == later["arrived"] > begun["sent"]
    source.stop()
    copy, _ = box.restore("warm", source, "copy")
    found = [copy.get("/flight") for _ in range(3)]
    assert all(each["sent"] == each["arrived"] for each in found)
    assert all(one["sent"] < other["sent"] for one, other in itertools.pairwise(found))
    figures.note("streams and events in flight at capture", sent=found[0]["sent"], lost=0)


def test_nothing_answers_before_the_gpu_is_back(box: Box, figures: Figures) -> None:
    source = box.run("source", "tensor.py", "12")
    before = source.get()
    box.checkpoint(source, "warm")
    source.stop()
    with knocking(source.port) as answered:
        copy, result = box.restore("warm", source, "copy")
        ended = time.monotonic()
        assert copy.get() == before
    early_seconds = ended - answered[0]
    figures.note(
        "a health endpoint asked all the while",
        cuda_restore_s=result["phases"]["cuda-restore"],
        first_answer_before_the_command_ended_s=early_seconds,
    )
    # An app that ran as soon as CRIU had made it would have answered before CUDA's restore began.
    assert early_seconds < result["phases"]["cuda-restore"]
