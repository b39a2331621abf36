"""What is decided about what a Secret holds, at every moment and however damaged. Pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_cluster import DAY, NAMES, SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import reading
from certs.deed import written
from certs.held import Bundle, Held, assess, bundle_pem
from certs.making import Signed, new_authority, new_serving
from certs.pair import KEYS, Content
from certs.plan import Decision, Do, plan
from certs.settings import Settings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LONG = 10 * DAY  # any time beyond the overlap


def decided(
    content: Content | None,
    at_seconds: float = 0,
    trusted: float | None = LONG,
    wanted: Settings = SETTINGS,
) -> tuple[Decision, Held]:
    now = NOW + timedelta(seconds=at_seconds)
    held = assess(content, now)
    return plan(held, now, wanted, trusted), held


def step(
    content: Content | None,
    at_seconds: float = 0,
    trusted: float | None = LONG,
    wanted: Settings = SETTINGS,
) -> Content:
    """The content after what was decided was done."""
    decision, held = decided(content, at_seconds, trusted, wanted)
    now = NOW + timedelta(seconds=at_seconds)
    return {**(content or {}), **written(decision, held, now, wanted)}


def do(content: Content | None, at_seconds: float = 0, trusted: float | None = LONG) -> Do:
    return decided(content, at_seconds, trusted)[0].do


FRESH = step(None)


@pytest.mark.parametrize("content", [None, {}, dict.fromkeys(KEYS, b""), {"other": b"x"}])
def test_where_nothing_is_everything_is_made_and_then_kept(content: Content | None) -> None:
    assert do(content) is Do.BEGIN
    made = step(content)
    assert set(made) >= set(KEYS)
    decision, held = decided(made)
    assert decision.do is Do.KEEP
    assert decision.settled
    assert held.faults == ()
    assert made.get("other") == (content or {}).get("other")


@given(at_seconds=st.floats(0, 9 * DAY - 1))
@settings(deadline=None)
def test_a_certificate_is_kept_for_two_thirds_of_its_life_and_then_renewed(
    at_seconds: float,
) -> None:
    decision, _ = decided(FRESH, at_seconds)
    assert decision.do is (Do.KEEP if at_seconds < 6 * DAY else Do.ISSUE)
    if decision.due is not None:
        assert decision.due == NOW + timedelta(days=6)


def test_it_is_renewed_by_the_same_ca_and_nothing_else_is_touched() -> None:
    later = step(FRESH, 7 * DAY)
    assert later["ca.crt"] == FRESH["ca.crt"]
    assert later["ca.key"] == FRESH["ca.key"]
    assert later["tls.crt"] != FRESH["tls.crt"]
    assert later["tls.key"] != FRESH["tls.key"]
    assert do(later, 7 * DAY) is Do.KEEP


def test_a_ca_at_two_thirds_of_its_life_is_joined_by_another_before_anything_is_signed_by_it() -> (
    None
):
    at = 61 * DAY
    before = step({**FRESH}, at - DAY, LONG)  # the certificate had expired: issued by the old CA
    joined = step(before, at)
    assert joined["tls.crt"] == before["tls.crt"]
    assert joined["ca.key"] != before["ca.key"]
    bundle = reading.authorities(joined["ca.crt"])
    assert bundle[1:] == reading.authorities(before["ca.crt"])

    waiting, _ = decided(joined, at, trusted=59)
    assert waiting.do is Do.KEEP
    assert not waiting.settled
    assert waiting.due == NOW + timedelta(seconds=at + 1)
    assert do(joined, at, trusted=None) is Do.KEEP
    assert do(joined, at, trusted=60) is Do.ISSUE

    taken = step(joined, at, trusted=60)
    held = assess(taken, NOW + timedelta(seconds=at))
    assert held.issuer == bundle[0]
    assert taken["ca.crt"] == joined["ca.crt"], "the old CA stays"


def test_an_old_ca_leaves_the_bundle_when_it_expires() -> None:
    at = 61 * DAY
    joined = step(step(FRESH, at), at)
    taken = step(step(joined, at), at)
    assert len(reading.authorities(taken["ca.crt"])) == 2
    renewed = step(taken, 89 * DAY)
    assert len(reading.authorities(renewed["ca.crt"])) == 2
    assert decided(renewed, 89 * DAY)[0].due == NOW + timedelta(days=90)
    assert do(renewed, 90 * DAY) is Do.TIDY
    assert len(reading.authorities(step(renewed, 90 * DAY)["ca.crt"])) == 1


def test_with_an_overlap_of_nothing_a_ca_must_still_be_trusted_before_it_takes_over() -> None:
    hasty = replace(SETTINGS, overlap_seconds=0)
    at = 61 * DAY
    joined = step(step(FRESH, at, LONG, hasty), at, LONG, hasty)
    assert decided(joined, at, None, hasty)[0].do is Do.KEEP
    assert decided(joined, at, 0.0, hasty)[0].do is Do.ISSUE


OTHER = step(None)
FOREIGN_RSA = rsa.generate_private_key(65537, 2048).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [("tls.crt", Do.ISSUE), ("tls.key", Do.ISSUE), ("ca.crt", Do.BEGIN), ("ca.key", Do.ROTATE)],
)
@pytest.mark.parametrize(
    "damage",
    [
        lambda _key, _good: None,
        lambda _key, _good: b"",
        lambda _key, _good: b"garbage \xff\x00",
        lambda _key, good: good[: len(good) // 2],
        lambda key, _good: OTHER[key],
        lambda _key, _good: FOREIGN_RSA,
        lambda _key, _good: b"x" * 1_000_000,
    ],
    ids=["missing", "empty", "garbage", "half", "another CA's", "RSA key", "a megabyte"],
)
def test_each_key_damaged_alone_is_mended_with_as_little_as_possible(
    key: str, expected: Do, damage: object
) -> None:
    value = damage(key, FRESH[key])  # type: ignore[operator]
    content = (
        {**FRESH, key: value} if value is not None else {k: FRESH[k] for k in KEYS if k != key}
    )
    decision, held = decided(content)
    assert decision.do is expected
    assert decision.why
    assert (held.serving is None) == (key != "ca.key")
    mended = step(content)
    assert decided(mended)[1].pair() is not None
    for _ in range(2):
        mended = step(mended)
    assert decided(mended)[0].settled


@given(
    content=st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(
            st.binary(max_size=300),
            st.sampled_from([*FRESH.values(), *OTHER.values(), FRESH["ca.crt"] + OTHER["ca.crt"]]),
            st.tuples(st.sampled_from(list(FRESH.values())), st.integers(0, 1000)).map(
                lambda cut: cut[0][: cut[1] % len(cut[0])] + b"~" + cut[0][cut[1] % len(cut[0]) :]
            ),
        ),
    ),
    at_seconds=st.floats(-200 * DAY, 200 * DAY),
)
@settings(max_examples=100, deadline=None)
def test_whatever_is_there_at_whatever_time_three_steps_make_it_good(
    content: dict[str, bytes], at_seconds: float
) -> None:
    for _ in range(4):
        content = dict(step(content, at_seconds))
        assert decided(content, at_seconds)[1].pair() is not None, "after every step one can serve"
    decision, held = decided(content, at_seconds)
    assert decision.settled
    assert held.faults == ()
    assert decision.due is not None
    assert decision.due > NOW + timedelta(seconds=at_seconds)


def test_a_replica_whose_clock_is_a_minute_behind_accepts_what_another_made() -> None:
    assert do(FRESH, -60) is Do.KEEP
    rotated = step(step(FRESH, 61 * DAY), 61 * DAY)
    assert do(step(rotated, 61 * DAY), 61 * DAY - 60) is Do.KEEP


def test_another_ca_is_used_that_mends_a_damaged_ca_crt() -> None:
    trusted = reading.authorities(FRESH["ca.crt"])
    for broken in ({**FRESH, "ca.crt": b"garbage"}, {k: FRESH[k] for k in KEYS if k != "ca.crt"}):
        held = assess(broken, NOW, found=trusted)
        decision = plan(held, NOW, SETTINGS, LONG)
        assert decision.do is Do.TIDY
        assert written(decision, held, NOW, SETTINGS) == {"ca.crt": FRESH["ca.crt"]}


def test_the_ca_of_what_is_served_is_in_the_bundle_whatever_the_secret_says() -> None:
    served = reading.authorities(OTHER["ca.crt"])
    held = assess(FRESH, NOW, must=served)
    assert plan(held, NOW, SETTINGS, LONG).do is Do.TIDY
    assert set(held.bundle) == {*served, *reading.authorities(FRESH["ca.crt"])}
    expired = assess(FRESH, NOW + timedelta(days=5), must=_short_lived())
    assert len(expired.bundle) == 1


def _short_lived() -> Bundle:
    return (new_authority(NOW, DAY).certificate,)


def test_a_ca_that_a_person_took_out_of_ca_crt_stays_out() -> None:
    both = {**FRESH, "ca.crt": FRESH["ca.crt"] + OTHER["ca.crt"]}
    tidy = step(both)
    assert len(reading.authorities(tidy["ca.crt"])) == 2
    trimmed = {**tidy, "ca.crt": FRESH["ca.crt"]}
    held = assess(trimmed, NOW, found=reading.authorities(tidy["ca.crt"]))
    assert plan(held, NOW, SETTINGS, LONG).settled
    assert held.bundle_pem == FRESH["ca.crt"]


def test_replicas_that_serve_by_different_cas_agree_on_the_order_of_the_bundle() -> None:
    cas = [new_authority(NOW, 90 * DAY).certificate for _ in range(3)]
    content = {**FRESH, "ca.crt": FRESH["ca.crt"] + bundle_pem(tuple(cas))}
    orders = {assess(content, NOW, must=(one,)).bundle for one in cas}
    assert len(orders) == 1


def test_the_bundle_does_not_grow_without_end() -> None:
    content: Content = FRESH
    for _ in range(20):
        content = step({k: content[k] for k in KEYS if k != "ca.key"})
    assert len(reading.authorities(content["ca.crt"])) == 8
    assert decided(content)[1].issuer in reading.authorities(content["ca.crt"])


def test_what_chrek_did_not_make_is_not_used() -> None:
    impostor = new_authority(NOW, DAY)
    foreign = new_serving(impostor, NAMES, NOW, DAY)
    content = {**FRESH, "tls.crt": foreign.certificate_pem, "tls.key": foreign.key_pem}
    decision, held = decided(content)
    assert decision.do is Do.ISSUE
    assert held.faults == ("tls.crt is of no CA of chrek's",)


def test_two_certificates_in_tls_crt_are_not_chreks() -> None:
    content = {**FRESH, "tls.crt": FRESH["tls.crt"] + OTHER["tls.crt"]}
    assert do(content) is Do.ISSUE


def test_a_serving_certificate_in_ca_crt_is_no_ca() -> None:
    assert reading.authorities(FRESH["tls.crt"]) == ()
    assert do({**FRESH, "ca.crt": FRESH["tls.crt"]}) is Do.BEGIN


def test_a_new_name_is_added_at_once_and_one_no_longer_wanted_goes_with_the_renewal() -> None:
    moved = replace(SETTINGS, dns_names=("new.ml.svc",))
    decision, _ = decided(FRESH, 0, None, moved)
    assert decision.do is Do.ISSUE, "its CA is known: nothing to wait for"
    both = step(FRESH, 0, None, moved)
    names = reading.dns_names(reading.certificates(both["tls.crt"])[0])
    assert names == ("new.ml.svc", *NAMES)
    assert do(both) is Do.KEEP, "a replica of the release before is content"
    assert decided(both, 0, LONG, moved)[0].do is Do.KEEP
    renewed = step(both, 7 * DAY, LONG, moved)
    assert reading.dns_names(reading.certificates(renewed["tls.crt"])[0]) == ("new.ml.svc",)


def test_names_do_not_pile_up() -> None:
    content = FRESH
    for number in range(30):
        content = step(content, 0, LONG, replace(SETTINGS, dns_names=(f"name-{number}",)))
    assert len(reading.dns_names(reading.certificates(content["tls.crt"])[0])) <= 16


def test_a_ca_that_is_almost_over_still_signs_where_nothing_can_be_served() -> None:
    """The API server trusts it already; another one joins right after."""
    at = 89 * DAY
    content = {**FRESH, "tls.crt": b""}
    assert do(content, at) is Do.ISSUE
    assert do(step(content, at), at) is Do.ROTATE
    assert do({**FRESH, "tls.crt": b""}, 91 * DAY) is Do.BEGIN


def test_longer_lives_take_effect_at_once_and_shorter_ones_do_not_undo_each_others_work() -> None:
    longer = replace(SETTINGS, serving_lifetime_seconds=30 * DAY)
    assert decided(FRESH, 0, LONG, longer)[0].do is Do.ISSUE
    long = step(FRESH, 0, LONG, longer)
    assert do(long) is Do.KEEP
    assert decided(long, 0, LONG, longer)[0].do is Do.KEEP


def test_the_whole_of_a_long_life_is_without_a_moment_that_cannot_be_served() -> None:
    """Half a year in steps of six hours: chained, trusted beforehand, and never much written."""
    content: Content | None = None
    trusted_since: dict[object, float] = {}
    writes = 0
    for hour in range(0, 24 * 180, 6):
        at = hour * 3600.0
        held = assess(content, NOW + timedelta(seconds=at))
        signer: Signed | None = held.signer
        since = trusted_since.get(signer.certificate) if signer else None
        now = NOW + timedelta(seconds=at)
        decision = plan(held, now, SETTINGS, None if since is None else at - since)
        change = written(decision, held, now, SETTINGS)
        writes += bool(change)
        content = {**(content or {}), **change}
        after = assess(content, now)
        assert after.serving is not None
        assert hour == 0 or decision.do is not Do.ISSUE or after.issuer in trusted_since
        trusted_since = {one: trusted_since.get(one, at) for one in after.bundle}
        assert len(after.bundle) <= 3
    assert 25 < writes < 45


def test_a_hidden_key_is_not_in_what_is_logged() -> None:
    held = assess(FRESH, NOW)
    assert "PRIVATE" not in repr(held.pair())
    assert held.serving is not None
    assert "PRIVATE" not in repr(held.serving)
