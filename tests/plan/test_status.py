"""What agents write into a Checkpoint's status: as its definition allows, and once."""

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from agent.plan import checkpoint as checkpoints
from agent.plan import lease
from agent.plan.capture import Attempt, attempt
from agent.plan.status import shown_size, stamp
from agent.plan.workload import label
from chrek.errors import UsageError
from webhook.knowledge import parse as admission

from ..chart.test_definition import SCHEMA
from ..pods.making import few
from .making import HERE, NOW, OTHER, VARIANT, live, status, taken_on, variant, view

JSON = dict[str, Any]
POD = view()
SECOND = view(live(taken_on(), name="web-2", uid="another"))


def _closed(schema: JSON) -> JSON:
    """Without room for what it does not name: an API server would silently leave that out."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if "properties" in made:
        made["properties"] = {name: _closed(one) for name, one in made["properties"].items()}
        made["additionalProperties"] = False
    if "items" in made:
        made["items"] = _closed(made["items"])
    return made


_formats = FormatChecker()
_formats.checks("date-time")(
    lambda text: (
        checkpoints.parse({"metadata": {"creationTimestamp": text}}).created.year > 1970
        and text.endswith("Z")
    )
)
VALIDATOR = Draft202012Validator(_closed(SCHEMA["properties"]["status"]), format_checker=_formats)


def checked(found: JSON | None) -> JSON:
    """`found`, which an API server would store as it is."""
    assert found is not None
    VALIDATOR.validate(found)
    assert not list(empty(found)), "an empty member says nothing"
    return found


def empty(found: Any, path: str = "") -> Any:
    if found in ("", None, [], {}):
        may_be = path.endswith(("/entrypoint", "/cmd")) or "/cmd/" in path
        if not may_be and not (path.startswith("/conditions/") and path.endswith("/message")):
            yield path
    elif isinstance(found, dict):
        for key, each in found.items():
            yield from empty(each, f"{path}/{key}")
    elif isinstance(found, list):
        for place, each in enumerate(found):
            yield from empty(each, f"{path}/{place}")


def at(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


def taken(before: JSON, seconds: float = 0, pod: Any = POD, node: str = "node-1") -> JSON:
    return checked(lease.taken(before, node=node, pod=pod, now=at(seconds)))


def failed(before: JSON, seconds: float = 0) -> JSON:
    return checked(
        lease.failed(before, reason="DumpFailed", message="CRIU could not dump.", now=at(seconds))
    )


def published(before: JSON, name: str = VARIANT, seconds: float = 0, **members: Any) -> JSON:
    given = variant(name, createdAt=stamp(at(seconds)), coldStartSeconds=37.5) | members
    return checked(lease.published(before, given, now=at(seconds), identity=POD.identity))


def condition(found: JSON, kind: str) -> JSON:
    (one,) = [each for each in found["conditions"] if each["type"] == kind]
    assert isinstance(one, dict)
    return one


def test_whoever_takes_the_lease_has_it_alone() -> None:
    found = taken({})
    assert found["phase"] == "Capturing"
    assert found["capture"]["podName"] == POD.name
    assert lease.taken(found, node="node-2", pod=SECOND, now=at(59)) is None
    assert lease.taken(found, node="node-1", pod=SECOND, now=at(59)) is None
    assert taken(found, 61, SECOND, "node-2")["capture"]["podUID"] == "another"


def test_a_lease_that_is_renewed_is_kept() -> None:
    found = checked(lease.renewed(taken({}), node="node-1", pod=POD, now=at(50)))
    assert lease.taken(found, node="node-2", pod=SECOND, now=at(100)) is None


def test_a_lease_that_another_took_cannot_be_renewed() -> None:
    found = taken(taken({}), 61, SECOND, "node-2")
    assert lease.renewed(found, node="node-1", pod=POD, now=at(62)) is None
    assert lease.renewed({}, node="node-1", pod=POD, now=NOW) is None


def test_a_lease_that_is_given_back_is_free_at_once() -> None:
    found = checked(lease.released(taken({}), now=at(5)))
    assert found["phase"] == "Pending"
    assert lease.released(found, now=at(6)) is None
    taken(found, 6, SECOND, "node-2")


def test_failures_back_off_and_the_third_is_the_last() -> None:
    found = failed(taken({}))
    assert found["phase"] == "Pending"
    assert found["reason"] == "DumpFailed"
    assert found["message"].startswith("CRIU could not dump. It is tried again after 2026-03-01T")
    assert lease.taken(found, node="node-1", pod=POD, now=at(59)) is None
    found = failed(taken(found, 60), 70)
    assert lease.taken(found, node="node-1", pod=POD, now=at(70 + 299)) is None
    found = failed(taken(found, 370), 380)
    assert found["phase"] == "Failed"
    assert found["capture"]["failures"] == 3
    assert "kubectl delete" in found["message"]
    assert lease.taken(found, node="node-1", pod=POD, now=at(10**6)) is None


def test_a_failure_is_counted_once() -> None:
    found = failed(taken({}))
    assert lease.failed(found, reason="DumpFailed", message="", now=NOW) is None


def test_agents_that_die_are_counted_but_never_make_it_failed() -> None:
    found: JSON = {}
    for seconds in (0, 1000, 2000, 3000, 4000):
        found = taken(found, seconds)
    assert found["capture"]["failures"] == 2
    assert found["phase"] == "Capturing"


def test_what_is_published_is_ready() -> None:
    found = published(failed(taken({})), gpuCount=2, gpuProduct="NVIDIA H200")
    assert found["phase"] == "Ready"
    assert found["identity"] == POD.identity
    assert found["coldStartSeconds"] == 37.5
    assert (found["size"], found["sizeBytes"]) == ("1.0 GiB", 1 << 30)
    assert found["node"] == "node-1"
    assert found["gpu"] == "2 x NVIDIA H200"
    assert "capture" not in found
    assert condition(found, "Ready")["status"] == "True"
    assert condition(found, "Captured")["status"] == "True"


def test_what_is_published_stands_beside_what_was() -> None:
    found = published(published({}), OTHER, 60, sizeBytes=3 << 30, node="node-2")
    assert [each["name"] for each in found["variants"]] == [OTHER, VARIANT]
    assert found["size"] == "4.0 GiB"
    assert found["node"] == "node-2"
    again = published(found, VARIANT, 120, sizeBytes=5 << 30)
    assert [each["name"] for each in again["variants"]] == [VARIANT, OTHER]


def test_publishing_twice_is_publishing_once() -> None:
    found = published({})
    given = variant(createdAt=stamp(NOW), coldStartSeconds=37.5)
    assert lease.published(found, given, now=at(9), identity=POD.identity) is None
    counted = lease.restored(found, VARIANT, seconds=1, now=at(8))
    assert lease.published(counted, given, now=at(9), identity=POD.identity) is None


def test_what_no_definition_knows_is_left_out() -> None:
    found = published({}, future=1, cpuModel="", gpuCount="two", driver=None, kernel="x" * 999)
    (one,) = found["variants"]
    assert one.keys() & {"future", "cpuModel", "gpuCount", "driver"} == set()
    assert len(one["kernel"]) == 256


@pytest.mark.parametrize("name", ["", None, "..", "A" * 16, 7])
def test_a_variant_whose_name_is_none_is_refused(name: Any) -> None:
    with pytest.raises(UsageError):
        lease.published({}, {"name": name}, now=NOW)


def test_a_status_holds_64_variants_the_newest() -> None:
    found: JSON = {}
    for number in range(66):
        found = published(found, f"{number:016x}", number)
    assert len(found["variants"]) == 64
    assert found["variants"][0]["name"] == f"{65:016x}"
    assert found["variants"][-1]["name"] == f"{2:016x}"


def test_what_is_ready_stays_ready_while_another_variant_is_captured() -> None:
    before = published({})
    during = taken(before)
    assert (during["phase"], during["reason"]) == ("Ready", "Published")
    after = failed(during)
    assert (after["phase"], after["reason"]) == ("Ready", "Published")
    assert condition(after, "Captured")["reason"] == "DumpFailed"
    assert admission.checkpoint({"metadata": {"name": "x"}, "status": during}).usable


def test_restores_are_counted() -> None:
    found = published(published({}), OTHER)
    for seconds in (1, 2):
        found = checked(lease.restored(found, OTHER, seconds=seconds / 3, now=at(seconds)))
    assert found["restores"] == 2
    assert found["lastRestoreSeconds"] == 0.667
    assert found["lastRestoreTime"] == "2026-03-01T12:00:02Z"
    counts = {each["name"]: each.get("restores") for each in found["variants"]}
    assert counts == {OTHER: 2, VARIANT: None}
    checked(lease.restored({"phase": "Pending"}, OTHER, seconds=-1, now=NOW))


def test_damage_is_marked_once_and_ends_what_is_ready() -> None:
    def marked(before: JSON, name: str) -> JSON | None:
        return lease.damaged(
            before, name, reason="SignatureInvalid", message="not signed by chrek", now=at(9)
        )

    two = published(published({}), OTHER)
    one = checked(marked(two, OTHER))
    assert one["phase"] == "Ready"
    none = checked(marked(one, VARIANT))
    assert (none["phase"], none["reason"]) == ("Pending", "SignatureInvalid")
    assert condition(none, "Ready")["status"] == "False"
    assert not admission.checkpoint({"metadata": {"name": "x"}, "status": none}).usable
    assert marked(none, VARIANT) is None
    assert marked(none, "0" * 16) is None
    assert published(none)["phase"] == "Ready"


def test_what_is_removed_is_remembered() -> None:
    def dropped(before: JSON) -> JSON | None:
        return lease.dropped(before, {VARIANT}, reason="Superseded", message="why", now=NOW)

    found = checked(dropped(published(published({}), OTHER)))
    assert [each["name"] for each in found["variants"]] == [OTHER]
    assert found["sizeBytes"] == 1 << 30
    assert condition(found, "Trimmed")["status"] == "True"
    assert dropped(found) is None
    last = checked(lease.dropped(found, {OTHER}, reason="Expired", message="why", now=NOW))
    assert (last["phase"], last["reason"]) == ("Pending", "Expired")
    assert last.keys() & {"size", "sizeBytes", "node", "variants"} == set()


def test_a_condition_changes_its_time_only_with_its_status() -> None:
    found = published({})
    assert condition(published(found, OTHER, 60), "Ready") == condition(found, "Ready") | {
        "message": f"variant {OTHER} was published by node node-1"
    }
    later = checked(lease.damaged(found, VARIANT, reason="X", message="", now=at(60)))
    assert condition(later, "Ready")["lastTransitionTime"] == "2026-03-01T12:01:00Z"


def learned(before: JSON, seconds: float = 0, **given: Any) -> JSON | None:
    usual: Any = {"image": "a:1", "digest": "sha256:0", "entrypoint": ["serve"], "cmd": ["", "x"]}
    return lease.learned(before, **usual | given, now=at(seconds))


def test_a_command_is_learned_once() -> None:
    found = checked(learned({}))
    assert found["phase"] == "Pending"
    assert learned(found, 60) is None
    moved = checked(learned(found, 60, entrypoint=["other"]))
    assert len(moved["images"]) == 1
    known = admission.images({"status": moved})
    assert known["a:1"].entrypoint == ("other",)
    assert known["a:1"].cmd == ("", "x")


def test_an_image_that_runs_nothing_is_learned_too() -> None:
    found = checked(learned({}, entrypoint=[], cmd=[], digest=""))
    assert admission.images({"status": found})["a:1"].entrypoint == ()


@pytest.mark.parametrize(
    "given", [{"image": ""}, {"image": "x" * 1025}, {"cmd": ["x"] * 1025}, {"cmd": ["x" * 65537]}]
)
def test_what_no_status_can_hold_is_not_learned(given: JSON) -> None:
    assert learned({}, **given) is None


def test_32_images_are_kept_those_learned_last() -> None:
    found: JSON = {}
    for number in range(34):
        found = checked(learned(found, number, image=f"a:{number}"))
    assert len(found["images"]) == 32
    assert found["images"][0]["image"] == "a:33"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (40_372_692_582, "37.6 GiB"),
     (2**62, "4096.0 PiB")],
)  # fmt: skip
def test_sizes_are_shown_for_people(size_bytes: int, shown: str) -> None:
    assert shown_size(size_bytes) == shown


def test_a_workloads_label_is_one_that_kubernetes_takes() -> None:
    assert label("Deployment/web") == label("Deployment/web") != label("Deployment/api")
    assert label("Deployment/" + "x" * 500).isalnum()


Step = Callable[[JSON, float], JSON | None]
STEPS: dict[str, Step] = {
    "taken": lambda s, t: lease.taken(s, node="node-1", pod=POD, now=at(t)),
    "taken by another": lambda s, t: lease.taken(s, node="node-2", pod=SECOND, now=at(t)),
    "renewed": lambda s, t: lease.renewed(s, node="node-1", pod=POD, now=at(t)),
    "released": lambda s, t: lease.released(s, now=at(t)),
    "failed": lambda s, t: lease.failed(s, reason="Dump failed!", message="x" * 9000, now=at(t)),
    "published": lambda s, t: lease.published(s, variant(createdAt="soon"), now=at(t)),
    "another": lambda s, t: lease.published(s, {"name": OTHER}, now=at(t), identity=POD.identity),
    "restored": lambda s, t: lease.restored(s, VARIANT, seconds=t, now=at(t)),
    "damaged": lambda s, t: lease.damaged(s, VARIANT, reason="", message="", now=at(t)),
    "dropped": lambda s, t: lease.dropped(s, [VARIANT], reason="Old", message="", now=at(t)),
    "learned": learned,
}


@few
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 400)), max_size=12))
def test_every_story_is_one_that_the_definition_can_hold(story: list[tuple[str, int]]) -> None:
    found: JSON = {}
    seconds = 0
    for step, passed in story:
        seconds += passed
        before = copy.deepcopy(found)
        changed = STEPS[step](found, seconds)
        assert found == before, "what came in is not changed"
        if changed is not None:
            found = checked(changed)
        if step not in ("restored", "taken", "taken by another", "another"):
            again = STEPS[step](found, seconds)
            assert again is None or again == found, step
        view = checkpoints.parse({"metadata": {"name": "x", "namespace": "ml"}, "status": found})
        assert (found.get("phase") == "Ready") == bool(view.ready)
        held = bool(found.get("capture", {}).get("renewedAt"))
        assert held or found.get("phase") != "Capturing"


@few
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 400)), max_size=12))
def test_who_is_told_to_capture_can_take_the_lease(story: list[tuple[str, int]]) -> None:
    found: JSON = {}
    seconds = 0
    for step, passed in story:
        seconds += passed
        found = STEPS[step](found, seconds) or found
    metadata = {"name": POD.identity, "namespace": "ml"}
    decision = attempt(
        POD, checkpoints.parse({"metadata": metadata, "status": found}), HERE, at(seconds),
        node="node-1", cold_because="CheckpointDamaged", estimate_bytes=0, claim_bytes_used=0,
        claim_bytes_limit=0, siblings=[],
    )  # fmt: skip
    can_take = lease.taken(found, node="node-1", pod=POD, now=at(seconds)) is not None
    assert can_take or not isinstance(decision, Attempt)


def test_the_definition_is_checked_at_all() -> None:
    assert not VALIDATOR.is_valid(status(variant("short")))
    assert not VALIDATOR.is_valid({"future": 1})
    assert not VALIDATOR.is_valid({"lastRestoreTime": "yesterday"})
