"""What watches tell is kept by namespace, read with care, and forgotten when it is gone."""

import logging
from typing import Any

import pytest
from hypothesis import given

from chrek.kube.api import JSON
from chrek.kube.errors import APIError
from webhook.admission.known import Checkpoint, Claim, ImageConfig, Known
from webhook.knowledge import parse
from webhook.knowledge.cluster import Cluster
from webhook.knowledge.store import Store

from ..pods.making import few
from .test_wire import anything

VARIANTS = "variants"


def made(name: str, namespace: str = "ml", **more: Any) -> JSON:
    metadata = {"name": name, "namespace": namespace, "resourceVersion": "1"}
    return {"metadata": metadata | more.pop("metadata", {}), **more}


def checkpoint(**status: Any) -> Checkpoint:
    return parse.checkpoint(made("c", status=status))


def test_a_claim_is_read() -> None:
    found = made(
        "data",
        spec={"accessModes": ["ReadWriteMany"], "storageClassName": "nfs"},
        status={"phase": "Bound", "accessModes": ["ReadWriteMany"]},
    )  # fmt: skip
    assert parse.claim(found) == Claim("data", "Bound", frozenset({"ReadWriteMany"}), False, "nfs")
    assert parse.claim(made("data")) == Claim("data", "", frozenset())
    assert parse.claim(made("data", metadata={"deletionTimestamp": "now"})).terminating
    assert parse.claim(made("data", spec={"volumeMode": "Block"})).block


@pytest.mark.parametrize(
    ("status", "usable"),
    [
        ({}, False),
        ({"phase": "Pending"}, False),
        ({"phase": "Failed"}, False),
        ({"phase": "Ready"}, True),
        ({"phase": "Capturing", VARIANTS: [{"phase": "Ready"}]}, True),
        ({"phase": "Failed", VARIANTS: [{"phase": "Damaged"}, {"phase": "Ready"}]}, True),
        ({"phase": "Capturing", VARIANTS: [{"phase": "Damaged"}, {"name": "x"}]}, False),
    ],
    ids=str,
)
def test_a_checkpoint_is_usable_once_something_can_be_restored(
    status: dict[str, Any], usable: bool
) -> None:
    assert checkpoint(**status).usable is usable


def test_a_checkpoint_that_is_being_deleted_is_not_usable() -> None:
    found = made("c", metadata={"deletionTimestamp": "now"}, status={"phase": "Ready"})
    assert not parse.checkpoint(found).usable


def test_identity_and_cold_start_are_read_if_they_are_there() -> None:
    assert checkpoint() == Checkpoint("c", usable=False)
    found = checkpoint(identity="0123", coldStartSeconds=12)
    assert (found.identity, found.cold_start_seconds) == ("0123", 12.0)
    assert checkpoint(coldStartSeconds="soon").cold_start_seconds is None


def test_images_are_read_by_their_name() -> None:
    listed = [
        {"image": "a:1", "entrypoint": ["e"], "cmd": ["c", "d"]},
        {"image": "b:1", "cmd": None, "digest": "x"},
    ]
    assert parse.images(made("c", status={"images": listed})) == {
        "a:1": ImageConfig(("e",), ("c", "d")),
        "b:1": ImageConfig(),
    }
    assert parse.images(made("c")) == {}


def test_a_class_binds_late_if_it_says_so() -> None:
    assert parse.late_binding(made("a", volumeBindingMode="WaitForFirstConsumer")) == "a"
    assert parse.late_binding(made("a", volumeBindingMode="Immediate")) is None


def full() -> Store:
    store = Store()
    images = [{"image": "a:1", "entrypoint": ["e"]}]
    store.claims.replaced([made("data"), made("data", "other"), made("more", "other")])
    store.namespaces.replaced([made("ml", "", metadata={"annotations": {"k": "v"}}), made("x", "")])
    store.classes.replaced([made("late", "", volumeBindingMode="WaitForFirstConsumer")])
    store.checkpoint_objects.replaced([made("c", status={"images": images}), made("d")])
    return store


def test_a_namespace_knows_its_own_and_what_is_everybodys() -> None:
    known = full().known("ml")
    assert known.claims.keys() == {"data"}
    assert known.checkpoints.keys() == {"c", "d"}
    assert known.annotations == {"k": "v"}
    assert known.late_binding == {"late"}
    assert dict(known.images) == {"a:1": ImageConfig(("e",))}


def test_a_namespace_of_which_nothing_was_seen_knows_nothing() -> None:
    known = Store().known("new")
    assert known == Known("new", images=known.images)
    assert not known.images


def test_what_changes_is_known_at_once_and_what_is_gone_is_forgotten() -> None:
    store = full()
    store.claims.changed(made("data", status={"phase": "Bound"}))
    assert store.known("ml").claims["data"].phase == "Bound"
    store.claims.deleted(made("data"))
    store.claims.deleted(made("data"))
    store.claims.deleted(made("never", "seen"))
    assert store.known("ml").claims == {}
    assert store.known("other").claims.keys() == {"data", "more"}
    store.checkpoint_objects.deleted(made("c"))
    assert not store.known("ml").images
    store.claims.replaced([])
    assert store.known("other").claims == {}


@pytest.mark.parametrize(
    "broken",
    [
        made("c", status=[]), made("c", status={VARIANTS: [None]}), made("c", status={VARIANTS: 1}),
        made("c", status={"coldStartSeconds": 10**400}), made("c", status={"images": ["x"]}),
        {"metadata": None}, {"metadata": {"name": [], "namespace": {}}}, {}, [],
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_an_object_of_another_form_is_left_out_and_the_others_stay(
    broken: Any,
) -> None:
    store = Store()
    store.checkpoint_objects.replaced([made("a"), broken, made("z")])
    store.checkpoint_objects.changed(broken)
    assert {"a", "z"} <= store.known("ml").checkpoints.keys()


def test_a_checkpoint_that_is_not_understood_any_more_is_not_restored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    store.checkpoint_objects.changed(made("c", status={"phase": "Ready"}))
    with caplog.at_level(logging.ERROR, "chrek.knowledge"):
        store.checkpoint_objects.changed(made("c", status={"phase": "Ready", VARIANTS: [None]}))
    assert [record.message for record in caplog.records] == ["object not understood"]
    assert "c" not in store.known("ml").checkpoints


@few
@given(anything, anything)
def test_objects_of_any_form_raise_nothing(status: Any, spec: Any) -> None:
    store = Store()
    for kind in (store.claims, store.namespaces, store.classes, store.checkpoint_objects):
        kind.changed(made("c", status=status, spec=spec, volumeBindingMode=spec))
    assert store.known("ml").namespace == "ml"


class FakeAPI:
    """Answers one path, or fails."""

    def __init__(self, answer: JSON | APIError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, float]] = []

    async def get(self, path: str, _query: Any = None, *, timeout_seconds: float = 0) -> JSON:
        self.asked.append((path, timeout_seconds))
        if isinstance(self.answer, APIError):
            raise self.answer
        return self.answer

    def lines(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


async def test_a_claim_is_asked_for_by_name_and_not_for_long() -> None:
    api = FakeAPI(made("data", status={"phase": "Bound"}))
    found = await Cluster(api, "ml").claim("ml", "data")
    assert found is not None
    assert found.phase == "Bound"
    ((path, seconds),) = api.asked
    assert path == "/api/v1/namespaces/ml/persistentvolumeclaims/data"
    assert seconds <= 2, "an admission has five in all"


@pytest.mark.parametrize(("status", "logged"), [(404, 0), (403, 1), (0, 1), (500, 1)])
async def test_a_claim_that_cannot_be_had_is_none(
    status: int, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeAPI(APIError("no", status=status))
    with caplog.at_level(logging.WARNING, "chrek.knowledge"):
        assert await Cluster(api, "ml").claim("ml", "data") is None
    assert len(caplog.records) == logged


def test_one_namespace_or_all_are_covered_and_watched() -> None:
    one, every = Cluster(FakeAPI({}), "ml"), Cluster(FakeAPI({}), "")
    assert (one.covers("ml"), one.covers("other"), one.covers("")) == (True, False, False)
    assert (every.covers("ml"), every.covers("")) == (True, False)
    assert [watch.path for watch in one.watches] == [
        "/apis/chrek.io/v1alpha1/namespaces/ml/checkpoints",
        "/api/v1/namespaces/ml/persistentvolumeclaims",
        "/api/v1/namespaces",
        "/apis/storage.k8s.io/v1/storageclasses",
    ]
    assert every.watches[0].path == "/apis/chrek.io/v1alpha1/checkpoints"
    assert every.watches[1].path == "/api/v1/persistentvolumeclaims"


def test_what_was_never_listed_is_named_as_a_problem_until_it_is() -> None:
    cluster = Cluster(FakeAPI({}), "ml")
    assert len(cluster.problems()) == 4
    cluster.watches[0].health.problem = "refused"
    first = "/apis/chrek.io/v1alpha1/namespaces/ml/checkpoints is not listed yet (refused)"
    assert cluster.problems()[0] == first
    for watch in cluster.watches:
        watch.health.listed.set()
    assert cluster.problems() == []
