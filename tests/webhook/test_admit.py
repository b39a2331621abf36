"""Whatever goes wrong in an admission, the pod is admitted, as it was written, and says so."""

import asyncio
import logging
from typing import Any

import pytest

from chrek.errors import ChrekError
from chrek.pods import names
from webhook.admission.known import ImageConfig, Known
from webhook.admit import Admission, NoImages
from webhook.server.wire import Question

from ..pods.making import IMAGE, container, pod
from .asking import FakeCluster, FakeImages, admission, answered, patched
from .worlds import CLAIM, COLD, OPTIONS, claim, known, main

NO_CLAIM = known(claim("other"))
BARE = container(command=None)
ENTRY = ImageConfig(("entry",), ("cmd",))


class RegistryDownError(ChrekError):
    reason = "RegistryDown"


async def test_a_pod_that_is_taken_on_is_patched() -> None:
    answer = await answered(pod())
    assert answer.outcome == "source"
    assert main(patched(pod(), answer))["command"][0] == "/chrek/chrek-init"


async def test_a_claim_that_watches_have_not_seen_is_asked_for_once_and_used() -> None:
    cluster = FakeCluster(NO_CLAIM, claims={CLAIM: claim()})
    answer = await answered(pod(), cluster)
    assert answer.outcome == "source"
    assert answer.warnings == ()
    assert cluster.asked == [f"ml/{CLAIM}"]


async def test_a_claim_that_is_not_there_is_asked_for_once_and_missed() -> None:
    cluster = FakeCluster(NO_CLAIM)
    answer = await answered(pod(), cluster)
    assert (answer.outcome, list(answer.operations)) == ("unchanged", [])
    assert "there is no PersistentVolumeClaim" in answer.warnings[0]
    assert cluster.asked == [f"ml/{CLAIM}"]


async def test_a_claim_that_was_found_to_be_unusable_is_asked_for_once() -> None:
    cluster = FakeCluster(NO_CLAIM, claims={CLAIM: claim(terminating=True)})
    answer = await answered(pod(), cluster)
    assert answer.warnings == (f"{COLD}PersistentVolumeClaim {CLAIM} is being deleted",)
    assert cluster.asked == [f"ml/{CLAIM}"]


async def test_nothing_is_asked_for_a_pod_that_is_refused_anyway() -> None:
    cluster, images = FakeCluster(NO_CLAIM), FakeImages(ENTRY)
    answer = await answered(pod(BARE, hostPID=True), cluster, images)
    assert answer.outcome == "unchanged"
    assert cluster.asked == []
    assert images.asked == []


async def test_a_claim_and_an_image_may_both_be_asked_for() -> None:
    cluster = FakeCluster(NO_CLAIM, claims={CLAIM: claim()})
    images = FakeImages(ENTRY)
    found = pod(BARE, imagePullSecrets=[{"name": "s"}])
    answer = await answered(found, cluster, images)
    assert answer.outcome == "source"
    made = main(patched(found, answer))
    assert (made["command"][-1], made["args"]) == ("entry", ["cmd"])
    ((image, namespace, spec),) = images.asked
    assert (image, namespace) == (IMAGE, "ml")
    assert spec["imagePullSecrets"] == [{"name": "s"}]


async def test_where_no_registry_may_be_asked_the_user_is_told_what_to_write() -> None:
    answer = await answered(pod(BARE))
    assert answer.outcome == "unchanged"
    assert len(answer.warnings) == 1
    assert answer.warnings[0].endswith("write the command in the pod template")


async def test_what_the_registry_says_of_its_failure_is_passed_on() -> None:
    images = FakeImages(RegistryDownError("registry.example: no answer", hint="Look at it"))
    answer = await answered(pod(BARE), None, images)
    assert answer.outcome == "unchanged"
    assert answer.warnings[1] == "chrek: registry.example: no answer. Look at it"
    assert len(images.asked) == 1


async def test_an_image_that_names_no_command_is_asked_for_once() -> None:
    images = FakeImages(ImageConfig())
    answer = await answered(pod(BARE), None, images)
    assert "nor its image names a command" in answer.warnings[0]
    assert len(images.asked) == 1


async def test_what_nobody_expected_leaves_the_pod_alone_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(FakeCluster):
        def known(self, _namespace: str) -> Known:
            raise RuntimeError("x" * 500)

    with caplog.at_level(logging.CRITICAL, "chrek.admission"):
        answer = await answered(pod(), Broken())
    assert (answer.outcome, list(answer.operations)) == ("failed", [])
    assert answer.warnings[0].startswith(f"{COLD}chrek's webhook failed (RuntimeError(")
    assert len(answer.warnings[0]) <= 256


async def test_an_admission_that_is_called_off_is_called_off() -> None:
    class Slow(FakeCluster):
        async def claim(self, namespace: str, name: str) -> None:
            await asyncio.Event().wait()

    task = asyncio.create_task(answered(pod(), Slow(NO_CLAIM)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "found",
    [None, {}, {"metadata": None}, {"metadata": []}, {"metadata": {"annotations": None}},
     {"metadata": {"annotations": [names.CHECKPOINT]}}, {"metadata": {"annotations": {}}}],
    ids=str,
)  # fmt: skip
async def test_what_is_none_of_ours_costs_nothing(found: Any) -> None:
    answer = await answered(found)
    assert (answer.outcome, list(answer.operations), answer.warnings) == ("ignored", [], ())


async def test_pods_of_other_namespaces_are_none_of_ours() -> None:
    asked = Admission(FakeCluster(), NoImages(), OPTIONS)
    assert (await asked.answer(Question("u", "other", pod()))).outcome == "ignored"
    assert (await asked.answer(Question("u", "", pod()))).outcome == "ignored"


async def test_a_pod_that_comes_again_is_not_patched_again() -> None:
    made = patched(pod(), await answered(pod()))
    answer = await answered(made)
    assert (answer.outcome, list(answer.operations), answer.warnings) == ("again", [], ())


async def test_a_copy_that_was_switched_off_is_given_back_as_its_user_wrote_it() -> None:
    made = patched(pod(), await answered(pod()))
    del made["metadata"]["annotations"][names.CHECKPOINT]
    answer = await answered(made)
    found = pod()
    del found["metadata"]["annotations"]
    assert (answer.outcome, answer.warnings) == ("unchanged", ())
    assert patched(made, answer) == found


async def test_the_log_says_why_once_a_pod(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "chrek.admission"):
        await admission().answer(Question("u", "ml", pod(hostPID=True)))
        await admission().answer(Question("u", "ml", pod()))
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.DEBUG]
    unchanged, source = [getattr(record, "fields", {}) for record in caplog.records]
    assert unchanged["outcome"] == "unchanged"
    assert unchanged["pod"] == "server-5d9c7b8f6-"
    assert "hostPID" in unchanged["why"]
    assert (source["outcome"], source["timeout"]) == ("source", 2)
