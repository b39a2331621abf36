"""A world of fakes: an API server with optimistic concurrency, clocks, replicas, and a driver.

Every call and every sleep waits until the driver picks it, so that a test (or hypothesis) decides
who goes on next, and time passes only when the driver says so.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from certs import reading
from certs.errors import CertsError, ConflictError
from certs.held import Bundle
from certs.keeper import Keeper
from certs.pair import BUNDLE, CERTIFICATE, Content, KeyPair
from certs.places import Configuration, Secret, SeenConfiguration, SeenSecret
from certs.settings import Settings

START = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ("chrek.ml.svc", "chrek")
DAY = 86400.0
SETTINGS = Settings(
    dns_names=NAMES, serving_lifetime_seconds=9 * DAY, authority_lifetime_seconds=90 * DAY
)
WATCH_SECONDS = 60.0

_authorities = lru_cache(reading.authorities)  # asked after every turn

Choose = Callable[[int, bool], int]
"""(how many may go on, whether time may pass) -> which one; -1: let time pass."""


@dataclass(eq=False)
class Waiting:
    who: str
    what: str
    ready: Callable[[], bool]
    deadline: float | None
    future: asyncio.Future[None]


@dataclass
class World:
    secret: dict[str, bytes] | None = None
    foreign: dict[str, object] = field(default_factory=dict)
    webhooks: dict[str, bytes] | None = field(default_factory=lambda: {"pods.chrek.io": b""})
    at: float = 0.0
    secret_version: int = 1
    configuration_version: int = 1
    fail: Callable[[str, str], CertsError | None] = lambda _who, _what: None
    waiting: list[Waiting] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    turns: int = 0
    check: Callable[[], None] = lambda: None
    """Called whenever something may have changed."""

    def edit(self, **keys: bytes | None) -> None:
        """As a person would: tls_crt=b"garbage"; None removes the key."""
        assert self.secret is not None
        for key, value in keys.items():
            name = key.replace("_", ".")
            if value is None:
                self.secret.pop(name, None)
            else:
                self.secret[name] = value
        self.secret_version += 1

    def delete(self) -> None:
        self.secret = None
        self.secret_version += 1

    def set_bundles(self, bundle: bytes) -> None:
        assert self.webhooks is not None
        self.webhooks = dict.fromkeys(self.webhooks, bundle)
        self.configuration_version += 1

    def trusted(self) -> Bundle:
        assert self.webhooks is not None
        return _authorities(next(iter(self.webhooks.values())))

    async def turn(
        self,
        who: str,
        what: str,
        ready: Callable[[], bool] = lambda: True,
        deadline: float | None = None,
    ) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(Waiting(who, what, ready, deadline, future))
        await future

    async def call(self, who: str, what: str) -> None:
        await self.turn(who, what)
        if error := self.fail(who, what):
            raise error

    async def drive(
        self,
        until: Callable[[], bool],
        choose: Choose = lambda count, _time: 0 if count else -1,
        *,
        most: int = 5000,
    ) -> None:
        """One turn after another until `until` holds."""
        for _ in range(most):
            await calm()
            self.check()
            if until():
                return
            self.waiting = [one for one in self.waiting if not one.future.done()]
            able = [one for one in self.waiting if one.ready()]
            ahead = [one.deadline for one in self.waiting if (one.deadline or 0.0) > self.at]
            chosen = choose(len(able), bool(ahead))
            if chosen < 0 or not able:
                assert ahead, f"all stand still: {self.waiting}"
                self.at = min(late for late in ahead if late is not None)
                continue
            self.turns += 1
            able[chosen % len(able)].future.set_result(None)
        raise AssertionError(f"after {most} turns not yet: {self.waiting}")

    async def pass_time(self, seconds: float) -> None:
        """Let what is due happen, second by second of the sleepers."""
        ends = self.at + seconds
        sentinel = asyncio.create_task(self.turn("test", "time", lambda: self.at >= ends, ends))
        await self.drive(sentinel.done)

    async def pass_days(self, days: float, step_days: float = 1.0) -> None:
        """As pass_time, but most of it at once: the replicas look after each step."""
        ends = self.at + days * DAY
        while self.at < ends:
            self.at = min(self.at + step_days * DAY, ends)
            await self.pass_time(125)


async def calm() -> None:
    """Until every task waits for its turn."""
    for _ in range(30):
        await asyncio.sleep(0)


@dataclass
class FakeClock:
    world: World
    who: str
    skew: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.world.at + self.skew)

    def seconds(self) -> float:
        return self.world.at + 1000 * self.skew  # no two machines' clocks have to do with another

    def spread(self, seconds: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        until = self.world.at + seconds
        await self.world.turn(self.who, "sleep", lambda: self.world.at >= until, until)


@dataclass
class FakeSecrets:
    world: World
    who: str
    name: str = "Secret ml/chrek-tls"

    async def read(self) -> SeenSecret:
        world = self.world
        await world.call(self.who, "read secret")
        version = str(world.secret_version)
        secret = None if world.secret is None else Secret(dict(world.secret), version)
        await world.call(self.who, "read secret: answer")
        return SeenSecret(secret, version)

    async def create(self, content: Content) -> None:
        await self.world.call(self.who, "create secret")
        if self.world.secret is not None:
            raise ConflictError("already exists")
        self._put(content, "create")
        await self.world.call(self.who, "create secret: answer")

    async def replace(self, secret: Secret, content: Content) -> None:
        await self.world.call(self.who, "replace secret")
        if self.world.secret is None or secret.version != str(self.world.secret_version):
            raise ConflictError("the object has been modified")
        self._put(content, "replace")
        await self.world.call(self.who, "replace secret: answer")

    def _put(self, content: Content, how: str) -> None:
        self.world.secret = {**(self.world.secret or {}), **content}
        self.world.secret_version += 1
        self.world.writes.append(f"{self.who} {how} {'+'.join(sorted(content))}")

    async def changed(self, since: str) -> bool:
        world, ends = self.world, self.world.at + WATCH_SECONDS
        await world.call(self.who, "watch secret")

        def news() -> bool:
            return world.secret_version != int(since)

        await world.turn(self.who, "watching secret", lambda: news() or world.at >= ends, ends)
        return news()


@dataclass
class FakeConfigurations:
    world: World
    who: str
    name: str = "MutatingWebhookConfiguration chrek.ml"

    async def read(self) -> SeenConfiguration:
        world = self.world
        await world.call(self.who, "read configuration")
        version = str(world.configuration_version)
        seen = None if world.webhooks is None else Configuration(dict(world.webhooks), version)
        await world.call(self.who, "read configuration: answer")
        return SeenConfiguration(seen, version)

    async def trust(self, configuration: Configuration, bundle_pem: bytes) -> None:
        await self.world.call(self.who, "set caBundle")
        world = self.world
        if world.webhooks is None or configuration.version != str(world.configuration_version):
            raise ConflictError("the object has been modified")
        world.set_bundles(bundle_pem)
        world.writes.append(f"{self.who} caBundle")
        await world.call(self.who, "set caBundle: answer")

    async def changed(self, since: str) -> bool:
        world, ends = self.world, self.world.at + WATCH_SECONDS
        await world.call(self.who, "watch configuration")

        def news() -> bool:
            return world.configuration_version != int(since)

        await world.turn(self.who, "watching caBundle", lambda: news() or world.at >= ends, ends)
        return news()


class Replica:
    """A process that serves: a keeper in a task, and what it was told to serve, and when."""

    def __init__(
        self, world: World, who: str, settings: Settings = SETTINGS, *, skew: float = 0.0
    ) -> None:
        self.world, self.who = world, who
        self.served: list[tuple[float, KeyPair]] = []
        self.keeper = Keeper(
            settings,
            FakeSecrets(world, who),
            FakeConfigurations(world, who),
            FakeClock(world, who, skew),
            lambda pair: self.served.append((world.at, pair)),
        )
        self.task = asyncio.create_task(self.keeper.run())

    @property
    def pair(self) -> KeyPair:
        return self.served[-1][1]

    def serves_the_secret(self) -> bool:
        secret = self.world.secret
        return bool(self.served and secret and self.pair.certificate_pem == secret.get(CERTIFICATE))

    async def kill(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def converged(world: World, *replicas: Replica) -> bool:
    """All serve what the Secret holds, and the API server trusts what the Secret says."""
    return (
        world.secret is not None
        and world.webhooks is not None
        and all(bundle == world.secret.get(BUNDLE) for bundle in world.webhooks.values())
        and all(replica.serves_the_secret() for replica in replicas)
    )
