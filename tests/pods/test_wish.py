"""What annotations say is taken as written or refused with a sentence, whatever they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chrek.pods import names, wish
from chrek.pods.wish import Wish, WishError, read, unknown

from .making import few

ON = {names.CHECKPOINT: "auto"}
ANNOTATIONS = [
    names.CHECKPOINT, names.CONTAINER, names.CHECKPOINT_IMAGE, names.CLAIM, names.ON_FAILURE,
    names.RESTORE_TIMEOUT, names.CHECKPOINT_AFTER, names.AFTER_CHECKPOINT, names.IGNORE_ENV,
    names.PROFILE, names.PRE_CHECKPOINT, names.POST_RESTORE,
]  # fmt: skip
IMAGE = "r.io:5000/a/b@sha256:0"
LABEL_63 = "a" * 63
BIDI = "\u202e"
ANY_TEXT = st.text(max_size=80)


def wanted(**changes: object) -> Wish:
    return Wish(checkpoint="auto", **changes)  # type: ignore[arg-type]


def test_a_pod_without_the_annotation_has_no_wish() -> None:
    assert read({names.CLAIM: "elsewhere", "app": "x"}, {}) is None


def test_the_annotation_alone_has_the_documented_defaults() -> None:
    assert read(ON, {}) == Wish(
        checkpoint="auto",
        container=None,
        checkpoint_image=None,
        claim="chrek-checkpoints",
        on_failure="cold-start",
        restore_timeout_seconds=None,
        checkpoint_after=None,
        after_checkpoint="continue",
        ignore_env=frozenset(),
    )


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        (names.CHECKPOINT, "llama-8b", Wish(checkpoint="llama-8b")),
        (names.CHECKPOINT, LABEL_63, Wish(checkpoint=LABEL_63)),
        (names.CONTAINER, "vllm", wanted(container="vllm")),
        (names.CHECKPOINT_IMAGE, IMAGE, wanted(checkpoint_image=IMAGE)),
        (names.CLAIM, "big.claim-1", wanted(claim="big.claim-1")),
        (names.ON_FAILURE, "fail", wanted(on_failure="fail")),
        (names.ON_FAILURE, "cold-start", wanted()),
        (names.RESTORE_TIMEOUT, "1", wanted(restore_timeout_seconds=1)),
        (names.RESTORE_TIMEOUT, "1.5", wanted(restore_timeout_seconds=2)),
        (names.RESTORE_TIMEOUT, "3600", wanted(restore_timeout_seconds=3600)),
        (names.CHECKPOINT_AFTER, "0", wanted(checkpoint_after=0.0)),
        (names.CHECKPOINT_AFTER, "2.5", wanted(checkpoint_after=2.5)),
        (names.CHECKPOINT_AFTER, "file:/tmp/warm", wanted(checkpoint_after="/tmp/warm")),
        (names.AFTER_CHECKPOINT, "exit", wanted(after_checkpoint="exit")),
        (names.IGNORE_ENV, "", wanted()),
        (names.IGNORE_ENV, "A", wanted(ignore_env=frozenset({"A"}))),
        (names.IGNORE_ENV, " A, B.c\n_D-e,,A ", wanted(ignore_env=frozenset({"A", "B.c", "_D-e"}))),
    ],
)  # fmt: skip
def test_a_good_value_is_taken(key: str, value: str, found: Wish) -> None:
    assert read(ON | {key: value}, {}) == found


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (names.CHECKPOINT, ["", "Auto", "a.b", "-a", "a-", "a" * 64, "a/../b", "a\n", "ä"]),
        (names.CONTAINER, ["", "Main", "a b", "a" * 64]),
        (names.CHECKPOINT_IMAGE, ["", "a b", "a\n", "ä:1", "a" * 513]),
        (names.CLAIM, ["", "../other", "a..b", ".a", "A", "a" * 254, "a\x00"]),
        (names.ON_FAILURE, ["", "Fail", "fail ", "cold"]),
        (names.RESTORE_TIMEOUT, ["", "0", "0.9", "-1", "+1", "1e2", "inf", "nan", "3600.1", "60s",
                                 "9" * 400, "\u0661", "1 ", "0x10", "1_0", ".5"]),
        (names.CHECKPOINT_AFTER, ["", "file:", "file:warm", "file:/a\nb", "file:/" + BIDI, "soon",
                                  "-1", "nan", "/tmp/warm"]),
        (names.AFTER_CHECKPOINT, ["", "stop", "EXIT"]),
        (names.IGNORE_ENV, ["A=B", "1A", "A,$(B)", "A\x00", "Ä"]),
    ],
)  # fmt: skip
def test_a_value_without_sense_is_refused_by_name(key: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(WishError) as refused:
            read(ON | {key: value}, {})
        assert refused.value.message.startswith(f"{key} is "), value
        assert refused.value.message.isprintable()
        assert len(refused.value.message) < 256


@pytest.mark.parametrize("word", ["true", "False", "on", "off ", "None", "disabled", "1"])
def test_a_word_that_nobody_means_as_a_name_does_not_switch_on(word: str) -> None:
    with pytest.raises(WishError, match="would name a checkpoint: write auto"):
        read({names.CHECKPOINT: word}, {})


@pytest.mark.parametrize("key", [names.PROFILE, names.PRE_CHECKPOINT, names.POST_RESTORE])
def test_a_hook_that_is_not_there_yet_is_refused_rather_than_left_out(key: str) -> None:
    with pytest.raises(WishError, match="not supported by this version"):
        read(ON | {key: "x"}, {})
    with pytest.raises(WishError, match="not supported by this version"):
        read(ON, {key: "x"})


def test_a_namespace_sets_defaults_and_a_pod_overrides_them() -> None:
    namespace = {
        names.CLAIM: "team", names.RESTORE_TIMEOUT: "30", names.IGNORE_ENV: "A",
        names.ON_FAILURE: "fail",
    }  # fmt: skip
    found = read(ON | {names.CLAIM: "own"}, namespace)
    assert found == wanted(
        claim="own",
        restore_timeout_seconds=30,
        ignore_env=frozenset({"A"}),
        on_failure="fail",
    )


def test_a_namespace_does_not_switch_pods_on_nor_choose_their_checkpoint() -> None:
    namespace = {names.CHECKPOINT: "everybodys"}
    assert read({}, namespace) is None
    assert read(ON, namespace) == wanted()


def test_a_default_without_sense_is_refused_like_an_annotation() -> None:
    with pytest.raises(WishError, match=r"^chrek\.io/claim is 'NO'"):
        read(ON, {names.CLAIM: "NO"})


def test_an_unknown_annotation_is_named_with_the_one_that_was_meant() -> None:
    found = unknown(ON | {"chrek.io/restore-timout": "5", "chrek.io/zzz": "", "other.io/x": ""})
    assert found == [
        "annotation 'chrek.io/restore-timout' is unknown; did you mean chrek.io/restore-timeout?",
        "annotation 'chrek.io/zzz' is unknown",
    ]


def test_what_chrek_itself_writes_is_not_unknown() -> None:
    assert unknown({names.CHECKPOINT_ID: "", names.IDENTITY: "", names.AS_WRITTEN: ""}) == []
    assert unknown(dict.fromkeys(ANNOTATIONS, "")) == []


def test_a_flood_of_unknown_annotations_gets_few_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(
        wish.difflib, "get_close_matches", lambda key, *_, **__: looked_up.append(key) or []
    )
    found = unknown({f"chrek.io/{'x' * 100_000}{number}": "" for number in range(50)})
    assert len(found) == len(looked_up) == 5
    assert all(len(key) < 100 for key in looked_up)
    assert all(len(sentence) < 256 for sentence in found)


@few
@given(
    st.dictionaries(st.sampled_from(ANNOTATIONS) | ANY_TEXT, ANY_TEXT),
    st.dictionaries(st.sampled_from(ANNOTATIONS), ANY_TEXT),
)
def test_annotations_of_any_text_give_a_wish_or_a_sentence(
    pod: dict[str, str], namespace: dict[str, str]
) -> None:
    for annotations in (pod, pod | ON):
        sentences = unknown(annotations)
        try:
            found = read(annotations, namespace)
        except WishError as error:
            sentences.append(error.message)
        else:
            assert (found is None) == (names.CHECKPOINT not in annotations)
        for sentence in sentences:
            assert sentence.isprintable()
            assert sentence.isascii()
            assert len(sentence) < 256
