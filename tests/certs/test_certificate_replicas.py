"""Replicas on one Secret and one configuration: races, deaths, hands, clocks, outages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from fake_cluster import DAY, SETTINGS, FakeClock, FakeConfigurations, FakeSecrets, Replica, World
from fake_cluster import converged as all_well

from certs import reading
from certs.errors import CertsError, ForbiddenError, UnreachableError
from certs.held import bundle_pem
from certs.keeper import Keeper
from certs.pair import KEYS

Start = Callable[..., Replica]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Replica(world, name, ...), all of them ended after the test."""
    started: list[Replica] = []

    def new(*args: object, **more: object) -> Replica:
        started.append(Replica(*args, **more))  # type: ignore[arg-type]
        return started[-1]

    yield new
    for replica in started:
        await replica.kill()


async def test_one_replica_makes_everything_and_serves(start: Start) -> None:
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    assert world.writes == ["one create ca.crt+ca.key+tls.crt+tls.key", "one caBundle"]
    assert one.keeper.pair == one.pair
    assert await one.keeper.first() == one.pair
    await world.pass_time(3600)
    assert len(world.writes) == 2
    assert len(one.served) == 1


async def test_an_empty_secret_that_a_chart_made_is_filled_and_nothing_else_of_it_touched(
    start: Start,
) -> None:
    world = World(secret={"foreign": b"stays"})
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    assert world.writes[0] == "one replace ca.crt+ca.key+tls.crt+tls.key"
    assert world.secret is not None
    assert world.secret["foreign"] == b"stays"


async def test_two_that_start_together_from_nothing_serve_the_same_keys(start: Start) -> None:
    world = World()
    two = [start(world, "one"), start(world, "two")]
    turn = iter(range(100000))
    await world.drive(
        lambda: all_well(world, *two),
        lambda count, _time: next(turn) % count if count else -1,  # in lockstep
    )
    assert two[0].pair == two[1].pair
    assert len([line for line in world.writes if "create" in line]) == 1


async def test_a_change_of_ca_is_trusted_for_the_overlap_before_it_serves(start: Start) -> None:
    world = World()
    two = [start(world, "one"), start(world, "two", skew=60.0)]
    await world.drive(lambda: all_well(world, *two))
    first = world.trusted()
    await world.pass_days(59.99)
    assert world.trusted() == first
    assert len(two[0].served) > 5, "renewed by the same CA"
    await world.drive(lambda: len(world.trusted()) == 2)
    changed = world.at
    assert changed == pytest.approx(60 * DAY, abs=200)
    serving = [replica.pair for replica in two]
    await world.pass_time(55)
    assert all_well(world, *two), "nor would a replica that starts now be given another"
    assert [replica.pair for replica in two] == serving
    await world.drive(lambda: all_well(world, *two) and two[0].pair != serving[0])
    assert world.at - changed >= SETTINGS.overlap_seconds
    assert world.trusted()[1:] == first
    assert two[0].pair == two[1].pair
    await world.pass_days(29.99)
    assert len(world.trusted()) == 2
    await world.pass_days(0.1)
    assert len(world.trusted()) == 1


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [None, b"", b"garbage"])
async def test_a_key_that_somebody_damages_is_mended_and_nothing_served_breaks(
    key: str, value: bytes | None, start: Start
) -> None:
    world = World()
    two = [start(world, "one"), start(world, "two")]
    await world.drive(lambda: all_well(world, *two))
    before = world.trusted()
    world.edit(**{key.replace(".", "_"): value})
    await world.drive(lambda: world.secret is not None and bool(world.secret.get(key)))
    assert world.at < 5, "at once"
    await world.pass_time(200)
    assert all_well(world, *two)
    assert set(before) <= set(world.trusted())
    issuers = {one.keeper._offering.issuer for one in two}
    assert issuers <= set(world.trusted())


async def test_a_deleted_secret_is_made_again_and_the_old_ca_trusted_until_all_have_the_new(
    start: Start,
) -> None:
    world = World()
    two = [start(world, "one"), start(world, "two")]
    await world.drive(lambda: all_well(world, *two))
    before, pair = world.trusted(), two[0].pair
    world.delete()
    await world.drive(lambda: len(world.trusted()) == 2)
    assert world.trusted()[1:] == before
    assert two[0].pair == pair, "the API server gets time to learn of the new CA"
    fresh = start(world, "three")
    await world.pass_time(100)
    assert all_well(world, *two, fresh)
    assert two[0].pair != pair


async def test_a_cabundle_that_is_emptied_or_overwritten_is_set_again(start: Start) -> None:
    world = World(webhooks={"pods.chrek.io": b"", "more.chrek.io": b""})
    two = [start(world, "one"), start(world, "two")]
    await world.drive(lambda: all_well(world, *two))
    for bundle in (b"", b"garbage", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"):
        at = world.at
        world.set_bundles(bundle)
        await world.drive(lambda: all_well(world, *two))
        assert world.at - at < 1
        await world.pass_time(100)
    assert len(two[0].served) == 1


async def test_a_ca_that_a_person_takes_out_leaves_cabundle_after_the_overlap(
    start: Start,
) -> None:
    world = World()
    two = [start(world, "one"), start(world, "two")]
    await world.drive(lambda: all_well(world, *two))
    world.delete()
    await world.drive(lambda: len(world.trusted()) == 2)
    await world.pass_time(100)
    assert all_well(world, *two)
    trimmed = bundle_pem(reading.authorities((world.secret or {})["ca.crt"])[:1])
    world.edit(ca_crt=trimmed)
    await world.pass_time(30)
    assert len(world.trusted()) == 2, "a replica may still object"
    await world.pass_time(60)
    assert len(world.trusted()) == 1
    assert all_well(world, *two)


async def test_one_webhook_of_several_that_lost_its_bundle_is_enough(start: Start) -> None:
    world = World(webhooks={"a": b"", "b": b""})
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    assert world.webhooks is not None
    world.webhooks["b"] = b""
    world.configuration_version += 1
    await world.drive(lambda: all_well(world, one))


async def test_a_configuration_that_comes_later_is_told_when_it_comes(start: Start) -> None:
    world = World(webhooks=None)
    one = start(world, "one")
    await world.drive(one.serves_the_secret)
    await world.pass_time(100)
    world.webhooks = {"pods.chrek.io": b""}
    world.configuration_version += 1
    await world.drive(lambda: all_well(world, one))


async def test_whoever_keeps_overwriting_is_answered_ever_more_slowly(start: Start) -> None:
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))

    async def overwrite() -> None:
        while True:
            await world.turn("other", "overwrite", lambda: all_well(world, one))
            world.set_bundles(b"")

    other = asyncio.create_task(overwrite())
    try:
        await world.pass_time(600)
    finally:
        other.cancel()
        with suppress(asyncio.CancelledError):
            await other
    assert 20 < len(world.writes) < 100


async def test_an_api_server_that_is_away_ends_nothing(start: Start) -> None:
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    world.fail = lambda _who, _what: UnreachableError("away")
    before = world.turns
    await world.pass_time(1800)
    assert world.turns - before < 500, "asked ever more seldom"
    assert one.pair
    world.fail = lambda _who, _what: None
    world.set_bundles(b"")
    await world.drive(lambda: all_well(world, one))
    assert not one.task.done()


async def test_a_first_start_without_the_api_waits_for_it(start: Start) -> None:
    world = World(fail=lambda _who, _what: UnreachableError("away"))
    one = start(world, "one")
    await world.pass_time(300)
    assert not one.served
    assert one.keeper.pair is None
    world.fail = lambda _who, _what: None
    await world.drive(lambda: all_well(world, one))


async def test_without_the_right_to_the_configuration_the_pair_is_served_all_the_same(
    start: Start,
) -> None:
    def fail(_who: str, what: str) -> CertsError | None:
        return ForbiddenError("no") if "configuration" in what or "caBundle" in what else None

    world = World(fail=fail)
    one = start(world, "one")
    await world.drive(lambda: bool(one.served))
    await world.pass_time(300)
    assert len(world.writes) == 1
    world.fail = lambda _who, _what: None
    await world.drive(lambda: all_well(world, one))


async def test_while_the_configuration_cannot_be_read_a_good_certificate_is_not_given_up(
    start: Start,
) -> None:
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    pair = one.pair
    world.fail = lambda _who, what: ForbiddenError("no") if what == "read configuration" else None
    world.delete()
    await world.pass_time(300)
    assert world.secret is not None
    assert one.pair == pair
    await world.pass_days(9)
    assert one.pair != pair, "expired: then anything is better"


async def test_without_the_right_to_write_what_is_there_is_served(start: Start) -> None:
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    assert world.secret is not None
    world.edit(ca_key=b"")
    world.fail = lambda _who, what: ForbiddenError("no") if what == "replace secret" else None
    two = start(world, "two")
    await world.drive(lambda: bool(two.served))
    assert two.pair.certificate_pem == one.pair.certificate_pem


@pytest.mark.parametrize("refused", ["watch secret", "watch configuration", "watch"])
async def test_what_cannot_be_watched_is_polled(refused: str, start: Start) -> None:
    def fail(_who: str, what: str) -> CertsError | None:
        return ForbiddenError("no watch") if what.startswith(refused) else None

    world = World(fail=fail)
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    at, turns = world.at, world.turns
    world.set_bundles(b"")
    world.delete()
    await world.drive(lambda: all_well(world, one) and len(one.served) == 2)
    assert world.at - at < 75
    await world.pass_time(600)
    assert world.turns - turns < 2500


async def test_a_write_whose_answer_is_lost_is_found_done(start: Start) -> None:
    lost = {"create secret: answer", "set caBundle: answer"}

    def fail(_who: str, what: str) -> CertsError | None:
        if what in lost:
            lost.discard(what)
            return UnreachableError("the connection broke")
        return None

    world = World(fail=fail)
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    assert not lost
    assert len(world.writes) == 2


def _begun() -> World:
    return World()


async def _rotating() -> World:
    """The moment at which a CA is due to be replaced."""
    world = World()
    one = Replica(world, "zero")
    await world.drive(lambda: all_well(world, one))
    await one.kill()
    world.at = 60 * DAY + 1
    return world


async def _deleted() -> World:
    world = await _rotating()
    world.delete()
    return world


@pytest.mark.parametrize("world_of", [_begun, _rotating, _deleted], ids=["new", "old", "deleted"])
async def test_killed_at_any_point_the_next_one_goes_on(
    world_of: Callable[[], object], start: Start
) -> None:
    """At the n-th await of a first life, for every n until the work is done."""
    for points in range(200):
        made = world_of()
        world: World = await made if asyncio.iscoroutine(made) else made  # type: ignore[assignment]
        first = start(world, "first")
        begun = world.turns
        life = begun + points
        await world.drive(lambda world=world, life=life: world.turns >= life)  # type: ignore[misc]
        done = all_well(world, first) and world.at > 60 * DAY + 130
        await first.kill()
        second = start(world, "second")
        await world.drive(lambda: all_well(world, second))  # noqa: B023
        await world.pass_time(150)
        assert all_well(world, second)
        assert second.keeper._offering.issuer in world.trusted()
        assert len(world.trusted()) <= 4
        await second.kill()
        if done or (world_of is _begun and points > 40):
            break
    assert points > 15


async def test_once_ends_when_all_is_settled_also_in_the_midst_of_a_change() -> None:
    world = await _rotating()
    clock = FakeClock(world, "once")
    keeper = Keeper(
        SETTINGS, FakeSecrets(world, "once"), FakeConfigurations(world, "once"), clock, print
    )
    task = asyncio.create_task(keeper.once())
    await world.drive(task.done)
    pair = await task
    assert world.secret is not None
    assert pair.certificate_pem == world.secret["tls.crt"]
    assert len(world.trusted()) == 2
    issuer = reading.certificates(pair.certificate_pem)[0].issuer
    assert issuer == world.trusted()[0].subject
    assert world.at >= 60 * DAY + SETTINGS.overlap_seconds


async def test_once_fails_with_the_first_error_that_is_no_race() -> None:
    world = World(fail=lambda _who, _what: ForbiddenError("no"))
    places = FakeSecrets(world, "once"), FakeConfigurations(world, "once")
    keeper = Keeper(SETTINGS, *places, FakeClock(world, "once"), print)
    task = asyncio.create_task(keeper.once())
    await world.drive(task.done)
    with pytest.raises(ForbiddenError):
        await task


async def test_a_call_that_takes_days_is_followed_by_what_is_right_after_it(start: Start) -> None:
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    world.edit(tls_crt=b"garbage")
    await world.drive(lambda: any(each.what == "read secret: answer" for each in world.waiting))
    world.at += 91 * DAY  # its CA is no longer one that can sign
    await world.drive(lambda: all_well(world, one))
    assert len(one.served) == 2


async def test_a_certificate_is_not_given_up_for_one_that_is_no_better(start: Start) -> None:
    """caBundle was emptied and cannot be set: a new pair is not trusted either."""
    world = World()
    one = start(world, "one")
    await world.drive(lambda: all_well(world, one))
    pair = one.pair
    world.fail = lambda _who, what: ForbiddenError("no") if what == "set caBundle" else None
    world.set_bundles(b"")
    world.delete()
    await world.drive(lambda: world.secret is not None)
    await world.pass_time(300)
    assert one.pair == pair
    world.fail = lambda _who, _what: None
    await world.drive(lambda: bool(world.trusted()))
    assert one.pair == pair
    await world.pass_time(100)
    assert all_well(world, one)
    assert one.pair != pair


async def test_a_pair_that_the_server_refuses_is_offered_again(start: Start) -> None:
    world = World()
    one = start(world, "one")
    refused: list[object] = []

    def refuse(pair: object) -> None:
        refused.append(pair)
        if len(refused) == 1:
            raise CertsError("not now")

    one.keeper._offering._on_change = refuse
    await world.drive(lambda: len(refused) == 2)
    assert one.keeper.pair is not None
