"""Any order of events at all: what must hold at every moment, and what comes of it in the end.

Stories are told by a seeded Random: hypothesis draws the seed and repeats one that failed.
"""

import asyncio
import os
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from cryptography import x509
from fake_cluster import DAY, SETTINGS, START, Replica, World, converged
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import reading
from certs.errors import CertsError, UnreachableError
from certs.pair import KEYS

STORIES = int(os.environ.get("CHREK_TEST_STORIES", "12"))
GO, TIME, JUMP, KILL, DELETE, DAMAGE, EMPTY, FAIL = range(8)
USUAL = [GO] * 60 + [TIME] * 8 + [KILL, DELETE, DAMAGE, FAIL]
ROUGH = [*USUAL, JUMP, EMPTY]


@dataclass
class Watcher:
    """Holds what must be true after every turn."""

    world: World
    replicas: list[Replica]
    since: dict[x509.Certificate, float] = field(default_factory=dict)
    seen: dict[Replica, int] = field(default_factory=dict)
    good: set[Replica] = field(default_factory=set)

    def check(self) -> None:
        trusted = self.world.trusted()
        self.since = {one: self.since.get(one, self.world.at) for one in trusted}
        for replica in self.replicas:
            if replica.served:
                self._one(replica)

    def _one(self, replica: Replica) -> None:
        issuer = replica.keeper._offering.issuer
        served = replica.keeper._offering.certificate
        assert issuer is not None
        assert served is not None
        assert served.issuer == issuer.subject
        now = START + timedelta(seconds=self.world.at)
        if not reading.valid(served, now) or not reading.valid(issuer, now):
            self.good.discard(replica)
            return
        if replica in self.good:
            assert issuer in self.since, "a certificate is served whose CA is not trusted"
            if len(replica.served) != self.seen[replica]:
                before = replica.served[self.seen[replica] - 1][1]
                old = reading.certificates(before.certificate_pem)[0]
                known = self.world.at - self.since[issuer] > SETTINGS.overlap_seconds - 0.001
                # Emptied and set again between two looks: both are equally new to the API server.
                since = [at for one, at in self.since.items() if one.subject == old.issuer]
                assert known or not since or self.since[issuer] <= since[0]
        if issuer in self.since:
            self.good.add(replica)
        self.seen[replica] = len(replica.served)

    def forgive(self) -> None:
        """Somebody took the trust away: nobody can help what is served until it is back."""
        self.good.clear()


async def story(chance: Random, events: list[int]) -> None:
    world = World()
    replicas = [Replica(world, "one"), Replica(world, "two", skew=60.0)]
    watcher = Watcher(world, replicas)
    world.check = watcher.check
    failing: list[CertsError] = []
    world.fail = lambda _who, _what: failing.pop() if failing else None
    names = iter(f"replica {number}" for number in range(1000))
    try:
        for event in chance.choices(events, k=300):
            if event == KILL:
                number = chance.randrange(2)
                await replicas[number].kill()
                replicas[number] = Replica(world, next(names), skew=60.0 * number)
            elif event == DELETE:
                world.delete()
            elif event == DAMAGE and world.secret is not None:
                key = chance.choice(KEYS).replace(".", "_")
                world.edit(**{key: chance.choice([None, b"garbage"])})
            elif event == EMPTY:
                world.set_bundles(b"")
                watcher.forgive()
            elif event == FAIL:
                failing.append(UnreachableError("the connection broke"))
            elif event == JUMP:
                world.at += chance.choice([5, 25, 61]) * DAY
                watcher.forgive()
            else:
                await one_turn(world, chance, time=event == TIME)
        watcher.forgive()
        await world.drive(lambda: converged(world, *replicas))
        await world.pass_time(200)
        assert converged(world, *replicas)
        assert replicas[0].pair.key_pem == replicas[1].pair.key_pem
        assert len(world.trusted()) <= 10
        writes = len(world.writes)
        await world.pass_time(600)
        assert len(world.writes) == writes, "what is settled stays"
    finally:
        for replica in replicas:
            await replica.kill()


async def one_turn(world: World, chance: Random, *, time: bool) -> None:
    """One call or sleep of somebody goes on: anybody's, however long the others wait."""
    before = world.turns, world.at
    await world.drive(
        lambda: (world.turns, world.at) != before,
        lambda count, ahead: -1 if (time and ahead) or not count else chance.randrange(count),
    )


@given(seed=st.integers(0, 2**32))
@settings(max_examples=STORIES, deadline=None)
def test_whatever_happens_to_replicas_and_secret_no_served_certificate_loses_its_trust(
    seed: int,
) -> None:
    asyncio.run(story(Random(seed), USUAL))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=STORIES, deadline=None)
def test_whatever_else_happens_they_come_to_agree(seed: int) -> None:
    asyncio.run(story(Random(seed), ROUGH))
