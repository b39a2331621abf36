"""What an agent tells Prometheus of its work."""

from prometheus_client.parser import text_string_to_metric_families

import chrek
from agent.metrics import Metrics

from .conftest import Agent


def samples(page: bytes | str) -> dict[str, float]:
    """Each sample as Prometheus would write it, `name{label="value"}`, labels in order."""
    text = page.decode() if isinstance(page, bytes) else page
    return {
        sample.name
        + "".join(f"[{key}={value}]" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_restore_counts_with_its_phases_and_bytes() -> None:
    metrics = Metrics()
    metrics.restored(None, {"verify": 0.004, "criu": 1.2}, size_bytes=4096)
    metrics.restored(None, {"criu": 700.0}, size_bytes=1)
    found = samples(metrics.text())
    assert found["chrek_restores_total[outcome=restored][reason=]"] == 2
    assert found["chrek_checkpoint_bytes_total[direction=read]"] == 4097
    assert found["chrek_checkpoint_bytes_total[direction=written]"] == 0
    assert found["chrek_phase_seconds_count[operation=restore][phase=criu]"] == 2
    assert found["chrek_phase_seconds_bucket[le=0.005][operation=restore][phase=verify]"] == 1
    assert found["chrek_phase_seconds_bucket[le=300.0][operation=restore][phase=criu]"] == 1


def test_what_failed_counts_under_its_reason_and_its_phases_do_not() -> None:
    metrics = Metrics()
    metrics.restored("CheckpointDamaged", {"verify": 0.1}, size_bytes=10)
    metrics.captured("StorageDenied")
    found = samples(metrics.text())
    assert found["chrek_restores_total[outcome=failed][reason=CheckpointDamaged]"] == 1
    assert found["chrek_captures_total[outcome=failed][reason=StorageDenied]"] == 1
    assert found["chrek_checkpoint_bytes_total[direction=read]"] == 10
    assert not [name for name in found if name.startswith("chrek_phase_seconds")]


def test_what_was_not_tried_is_told_from_what_failed() -> None:
    metrics = Metrics()
    metrics.cold("NoCheckpoint")
    metrics.refused("FreezeExceedsLiveness")
    metrics.captured(None, {"dump": 0.3}, size_bytes=7)
    found = samples(metrics.text())
    assert found["chrek_restores_total[outcome=cold][reason=NoCheckpoint]"] == 1
    assert found["chrek_captures_total[outcome=refused][reason=FreezeExceedsLiveness]"] == 1
    assert found["chrek_captures_total[outcome=published][reason=]"] == 1
    assert found["chrek_checkpoint_bytes_total[direction=written]"] == 7
    assert found["chrek_phase_seconds_count[operation=capture][phase=dump]"] == 1


def test_gauges_show_what_is_now() -> None:
    metrics = Metrics()
    metrics.checkpoints({"Ready": 2, "Failed": 1})
    metrics.checkpoints({"Ready": 3})
    with metrics.waiting(), metrics.waiting():
        assert samples(metrics.text())["chrek_placeholders_waiting"] == 2
    found = samples(metrics.text())
    assert found["chrek_placeholders_waiting"] == 0
    assert found["chrek_checkpoints[phase=Ready]"] == 3
    assert found["chrek_checkpoints[phase=Failed]"] == 0
    assert found["chrek_checkpoints[phase=Pending]"] == 0


def test_the_process_serves_them_with_its_version_and_its_memory(agent: Agent) -> None:
    agent.start()
    code, page = agent.get("/metrics")
    assert code == 200
    found = samples(page)
    assert found[f"chrek_build_info[version={chrek.__version__}]"] == 1
    assert found["process_resident_memory_bytes"] > 1 << 20
