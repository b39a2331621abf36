"""Only an AdmissionReview v1 is a question; every question gets an answer that allows."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.server.wire import NotAReviewError, answer, question

from ..pods.making import few, pod, text
from .asking import KIND, review_of

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


def asked(body: Any) -> Any:
    return question(json.dumps(body).encode())


def test_a_question_has_uid_namespace_and_pod() -> None:
    found = asked(review_of(pod()))
    assert (found.uid, found.namespace, found.pod) == ("705ab4f5", "ml", pod())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not JSON"),
        (b"\x00\xff", "the body is not JSON"),
        (b'{"kind": "\xff"}', "the body is not JSON"),
        (b"{'kind': 1}", "the body is not JSON"),
        (b'{"kind": "AdmissionReview"}}', "the body is not JSON"),
        (b'{"kind": "\\ud800"}', "the body is not JSON"),
        (b'{"kind": NaN}', "the body is not JSON"),
        (json.dumps(review_of({})).encode("utf-16"), "the body is not JSON"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b'{"request":' * 100_000, "the body is nested too deeply"),
        (b"[]", "the body is not an AdmissionReview"),
        (b"null", "the body is not an AdmissionReview"),
        (b"{}", "the body is not an AdmissionReview"),
        (b'{"kind": "Pod", "apiVersion": "v1"}', "the body is not an AdmissionReview"),
        (b'{"kind": ["AdmissionReview"]}', "the body is not an AdmissionReview"),
        (b'{"kind": "AdmissionReview"}', "apiVersion is not admission.k8s.io/v1"),
        (
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}',
            "apiVersion is not admission.k8s.io/v1, the only one that is understood",
        ),
        (
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}',
            "the AdmissionReview has no request",
        ),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_is_no_question_is_told_why(body: bytes, sentence: str) -> None:
    with pytest.raises(NotAReviewError) as refused:
        question(body)
    assert refused.value.message.startswith(sentence)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("uid", [None, "", 5, ["a"], "a" * 257])
def test_a_question_without_a_uid_cannot_be_answered(uid: Any) -> None:
    with pytest.raises(NotAReviewError, match="the request has no uid"):
        asked(review_of(pod(), uid=uid))


@pytest.mark.parametrize(
    "other",
    [
        {"operation": "UPDATE"}, {"operation": "DELETE"}, {"operation": None},
        {"subResource": "ephemeralcontainers"}, {"subResource": "eviction"},
        {"kind": {**KIND, "kind": "Deployment"}}, {"kind": {**KIND, "version": "v2"}},
        {"kind": {**KIND, "group": "apps"}}, {"kind": "Pod"}, {"kind": None}, {"kind": {}},
    ],
    ids=str,
)  # fmt: skip
def test_other_requests_are_questions_about_no_pod(other: dict[str, Any]) -> None:
    assert asked(review_of(pod(), **other)).pod is None


@pytest.mark.parametrize("found", [None, [], "pod", 5, True])
def test_a_pod_that_is_no_object_is_none(found: Any) -> None:
    assert asked(review_of(found)).pod is None


@pytest.mark.parametrize(
    "namespace", [None, 5, {}, "", "..", "a/../b", "a/secrets/x", "A", "a?watch=1", "a" * 64, "a\n"]
)
def test_a_namespace_that_would_lead_elsewhere_is_none(namespace: Any) -> None:
    assert asked(review_of(pod(), namespace=namespace)).namespace == ""


@few
@given(st.binary())
def test_any_bytes_are_a_question_or_none(body: bytes) -> None:
    with pytest.raises(NotAReviewError):
        question(body)


@few
@given(st.dictionaries(st.sampled_from(list(review_of({})["request"])), anything))
def test_any_members_give_a_question_or_a_sentence(members: dict[str, Any]) -> None:
    try:
        found = asked(review_of(pod(), **members))
    except NotAReviewError:
        return
    assert isinstance(found.pod, dict | None)
    assert isinstance(found.namespace, str)


def test_an_answer_without_patch_or_warnings_says_no_more_than_yes() -> None:
    assert json.loads(answer("u", [], [])) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True},
    }


@few
@given(st.text(st.characters(exclude_categories=("Cs",))), text, anything)
def test_an_answer_carries_what_it_was_given(uid: str, warning: str, value: Any) -> None:
    operations = [{"op": "add", "path": "/a", "value": value}]
    response = json.loads(answer(uid, operations, [warning]))["response"]
    assert (response["uid"], response["allowed"]) == (uid, True)
    assert response["warnings"] == [warning]
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"], validate=True)) == operations
