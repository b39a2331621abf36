"""Pods that nobody has validated, records that chrek did not write: an answer, and no harm."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chrek.pods import names, wrapping

from ..pods.making import Pod, as_json, container, few, labels, pod, pods, text
from .asking import FakeCluster, answered, patched
from .worlds import OPTIONS, admitted, known, learned, main, ready

IMAGES = learned(["entry"], ["cmd"], "a:1") | learned([], ["cmd"], "b@sha256:0")
WORLD = known(images=IMAGES)
scalars = st.none() | st.booleans() | st.integers() | text | st.floats(-9, 9, width=16)
anything = st.recursive(
    scalars, lambda i: st.lists(i, max_size=3) | st.dictionaries(text, i, max_size=3), max_leaves=6
)
members = st.sampled_from(
    ["command", "args", "image", "name", "securityContext", "startupProbe", "livenessProbe", "env"]
)
records = st.one_of(
    text,
    anything.map(json.dumps),
    st.fixed_dictionaries(
        {"container": labels | st.just("main")},
        optional={
            "members": st.dictionaries(
                members, anything | st.fixed_dictionaries({"was": anything, "ours": text})
            )
        },
    ).map(json.dumps),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failures are expected here by the hundred; their stacks need no printing."""
    logging.getLogger("chrek.admission").setLevel(logging.CRITICAL + 1)
    yield
    logging.getLogger("chrek.admission").setLevel(logging.NOTSET)


def ask(found: Any) -> Pod:
    """The pod that is created for `found`."""
    return patched(found, asyncio.run(answered(found, FakeCluster(WORLD))))


def mine(one: dict[str, Any]) -> dict[str, Any]:
    """A container without what chrek adds to it."""
    own = dict(one)
    if wrapping.is_wrapped(own.get("command")):
        own["command"] = wrapping.unwrapped(own["command"])
    own["volumeMounts"] = [
        mount for mount in own.get("volumeMounts", []) if not mount["name"].startswith("chrek")
    ]
    return own


@few
@given(pods(), records, st.booleans())
def test_a_forged_record_takes_nothing_from_a_pod(found: Pod, text: str, wrapped: bool) -> None:
    chosen = main(found)
    if wrapped or "command" not in chosen:
        chosen["command"] = [*wrapping.prefix(7, in_image=False), *chosen.get("command", ["x"])]
    found["metadata"]["annotations"] |= {names.CHECKPOINT_ID: "x", names.AS_WRITTEN: text}
    made = ask(found)
    before, after = (each["spec"]["containers"] for each in (found, made))
    assert [mine(one) for one in after] == [mine(one) for one in before]
    kept = {"volumes", "initContainers", "containers"}
    for member in found["spec"].keys() - kept:
        assert made["spec"][member] == found["spec"][member]
    for member in ("volumes", "initContainers"):
        own = [entry for entry in made["spec"].get(member, []) if "chrek" not in entry["name"]]
        assert own == found["spec"].get(member, [])
    ours = {names.CHECKPOINT_ID, names.IDENTITY, names.AS_WRITTEN}
    for key, value in found["metadata"]["annotations"].items():
        assert key in ours or made["metadata"]["annotations"][key] == value


def test_a_record_that_nests_as_deep_as_can_be_read_is_still_answered() -> None:
    for depth in range(100, 1100, 50):
        found = pod(container(command=["/chrek/chrek-init", "wait", "--timeout", "2", "--", "x"]))
        value = "[" * depth + "]" * depth
        kept = f'{{"container":"main","members":{{"args":{{"was":{value},"ours":"x"}}}}}}'
        found["metadata"]["annotations"] |= {names.CHECKPOINT_ID: "x", names.AS_WRITTEN: kept}
        assert main(ask(found))["command"][-1] == "x"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place below `value`: what holds it, and under which key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@st.composite
def mangled(draw: st.DrawFn, found: Pod) -> Pod:
    """A pod in which some values are others, of any type."""
    broken = as_json(found)
    for holder, key in draw(st.lists(st.sampled_from(list(places(broken))), min_size=1)):
        holder[key] = draw(anything)
    return broken


def placeholder() -> Pod:
    """A pod that was taken on, with all that chrek reads."""
    found = pod(
        container(
            livenessProbe={"exec": {"command": ["a"]}},
            env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
            envFrom=[{"secretRef": {"name": "s"}}],
            resources={"limits": {"cpu": "1", "nvidia.com/gpu": "1"}},
            securityContext={"capabilities": {"drop": ["ALL"]}},
        ),
        volumes=[{"name": "a"}],
        nodeSelector={"a": "b"},
        runtimeClassName="nvidia",
    )
    return admitted(found, known(ready(found)), OPTIONS)


@few
@given(st.data(), st.booleans())
def test_values_of_wrong_types_anywhere_are_answered(data: st.DataObject, again: bool) -> None:
    found = placeholder() if again else data.draw(pods())
    broken = data.draw(mangled(found))
    made = ask(broken)
    if isinstance(broken["spec"], dict):
        assert made["spec"].keys() >= broken["spec"].keys() - {"volumes", "initContainers"}


@few
@given(st.dictionaries(text | st.sampled_from(["chrek.io/claim", "chrek.io/container"]), text))
def test_annotations_of_any_text_are_answered_and_kept(annotations: dict[str, str]) -> None:
    made = ask(pod(annotations=annotations))
    assert annotations.items() <= made["metadata"]["annotations"].items()


def test_the_largest_flood_of_annotations_is_answered() -> None:
    flood = {f"chrek.io/checkpoint-{number:06}": "" for number in range(100_000)}
    assert len(ask(pod(annotations=flood))["metadata"]["annotations"]) == len(flood) + 1
