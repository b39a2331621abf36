"""A pod that was taken on can be read back as its user wrote it, whoever edits it in between."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chrek.pods import names, wrapping
from chrek.pods.written import Record, as_written, instead, record

from .making import Pod, container, few, pod, probes, words

DEEP = '{"container":"main","members":' + '{"args":' * 100_000


def taken(found: Pod, kept: Record, *, in_image: bool = False) -> Pod:
    """`found` with a wrapped command, chrek's volumes, and `kept` as its record."""
    made = copy.deepcopy(found)
    one = made["spec"]["containers"][0]
    one["command"] = [*wrapping.prefix(2, in_image=in_image), *one.get("command", [])]
    one["volumeMounts"] = [*one.get("volumeMounts", []), {"name": "chrek", "mountPath": "/chrek"}]
    made["spec"]["volumes"] = [
        *made["spec"].get("volumes", []), {"name": "chrek"}, {"name": "chrek-claim"},
    ]  # fmt: skip
    made["spec"]["initContainers"] = [
        {"name": "chrek-init"}, *made["spec"].get("initContainers", []),
    ]  # fmt: skip
    members = {m: {"was": k.was, "ours": k.ours} for m, k in kept.members.items()}
    made["metadata"]["annotations"] |= {
        names.CHECKPOINT_ID: "x",
        names.IDENTITY: "y",
        names.AS_WRITTEN: json.dumps({"container": kept.container, "members": members}),
    }
    made["metadata"]["labels"] |= {names.ROLE_LABEL: "source"}
    return made


def read_back(made: Pod) -> Pod:
    kept = record(made)
    assert kept is not None
    return as_written(made, kept)


@few
@given(words, probes, st.booleans())
def test_what_was_wrapped_is_unwrapped(
    command: list[str], probe: dict[str, Any], in_image: bool
) -> None:
    found = pod(container(command=command, livenessProbe=probe))
    made = taken(found, Record("main"), in_image=in_image)
    before = copy.deepcopy(made)
    assert read_back(made) == found
    assert made == before, "what came in is not changed"


@few
@given(probes, probes | st.none())
def test_a_member_that_chrek_wrote_is_given_back(
    ours: dict[str, Any], was: dict[str, Any] | None
) -> None:
    found = pod(container(startupProbe=ours))
    made = taken(found, Record("main", {"startupProbe": instead(was, ours)}))
    assert read_back(made)["spec"]["containers"][0].get("startupProbe") == was


@few
@given(probes, probes, probes)
def test_a_member_that_somebody_edited_since_is_theirs(
    ours: dict[str, Any], was: dict[str, Any], theirs: dict[str, Any]
) -> None:
    made = taken(
        pod(container(startupProbe=theirs)), Record("main", {"startupProbe": instead(was, ours)})
    )
    found = read_back(made)["spec"]["containers"][0]["startupProbe"]
    assert found == (was if theirs == ours else theirs)


def test_the_order_of_members_and_a_way_through_an_api_server_is_no_edit() -> None:
    kept = instead(None, {"exec": {"command": ["a"]}, "periodSeconds": 1})
    found = {"periodSeconds": 1, "exec": {"command": ["a"]}}
    made = taken(pod(container(startupProbe=found)), Record("main", {"startupProbe": kept}))
    assert "startupProbe" not in read_back(made)["spec"]["containers"][0]


@pytest.mark.parametrize("in_image", [False, True])
def test_a_probe_that_asks_chrek_init_goes_with_it_though_it_was_edited(in_image: bool) -> None:
    ours = {"exec": {"command": wrapping.ready(in_image=in_image)}, "timeoutSeconds": 5}
    kept = Record("main", {"startupProbe": instead(None, ours)})
    made = taken(pod(container(startupProbe=ours | {"timeoutSeconds": 9})), kept)
    assert "startupProbe" not in read_back(made)["spec"]["containers"][0]


IMAGE_WORDS = {"command": instead(None, [*wrapping.prefix(2, in_image=False), "serve"])}
IMAGE_ARGS = {"args": instead(None, ["--port", "1"])}


def from_image(command: list[str], args: list[str]) -> dict[str, Any]:
    """A live pod with the image's own words, as they are by now, read back."""
    made = taken(
        pod(container(command=command, args=args)), Record("main", IMAGE_WORDS | IMAGE_ARGS)
    )
    found: dict[str, Any] = read_back(made)["spec"]["containers"][0]
    return {member: found.get(member) for member in ("command", "args")}


def test_words_of_an_image_are_left_to_the_image() -> None:
    assert from_image(["serve"], ["--port", "1"]) == {"command": None, "args": None}


def test_arguments_that_were_edited_go_after_the_images_entrypoint() -> None:
    assert from_image(["serve"], ["--port", "2"]) == {"command": None, "args": ["--port", "2"]}


def test_a_command_that_was_edited_keeps_the_arguments_that_were_beside_it() -> None:
    found = from_image(["serve", "-v"], ["--port", "1"])
    assert found == {"command": ["serve", "-v"], "args": ["--port", "1"]}


def test_of_containers_with_one_name_only_the_wrapped_one_is_read_back() -> None:
    made = taken(pod(container(), container(command=None)), Record("main"))
    assert "command" not in read_back(made)["spec"]["containers"][1]


def test_what_is_empty_without_chrek_is_gone() -> None:
    found = pod()
    del found["metadata"]["labels"]
    made = taken(pod(), Record("main"))
    made["metadata"]["labels"] = {names.ROLE_LABEL: "source"}
    assert read_back(made) == found


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "0", '{"container":1}', '{"container":"main","more":1}',
     '{"container":"main","members":{"args":["a"]}}', '{"container":"' + "a" * 300 + '"}',
     '{"container":"main","members":{"name":{"was":"x","ours":"y"}}}',
     '{"container":"other"}', "\x00", DEEP, '{"container":"main"}' + " " * (257 << 10)],
)  # fmt: skip
def test_a_record_that_chrek_would_not_write_is_none(text: str) -> None:
    made = taken(pod(), Record("main"))
    made["metadata"]["annotations"][names.AS_WRITTEN] = text
    assert record(made) is None


def test_a_record_without_a_wrapped_command_or_an_id_is_none() -> None:
    made = taken(pod(), Record("main"))
    del made["metadata"]["annotations"][names.CHECKPOINT_ID]
    assert record(made) is None
    made = taken(pod(), Record("main"))
    made["spec"]["containers"][0]["command"] = ["sh"]
    assert record(made) is None
