"""Registries on loopback: Debian's docker-registry, and hosts that behave as a test wants."""

import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from webhook.registry.lookup import Registry
from webhook.registry.sessions import trusted
from webhook.registry.settings import Settings

from . import distribution
from .certificates import Authority
from .distribution import Registry as Distribution
from .hosts import Host, Hosts

needs_distribution = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="needs Debian's docker-registry"
)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def trust(authority: Authority) -> ssl.SSLContext:
    """Believes in `authority`; made once, as reading the system's takes long."""
    return trusted(authority.bundle)


@pytest.fixture
async def hosts(authority: Authority) -> AsyncIterator[Hosts]:
    async with AsyncExitStack() as stack:
        yield Hosts(stack, authority)


@pytest.fixture
async def host(hosts: Hosts) -> Host:
    """A registry on the internet, over https, that has nothing yet."""
    return await hosts.start("registry.example")


@pytest.fixture
async def asking(
    hosts: Hosts, trust: ssl.SSLContext, clock: Clock
) -> AsyncIterator[Callable[..., Any]]:
    """Makes a Registry that sees `hosts`; keywords are Settings."""
    async with AsyncExitStack() as stack:

        async def made(**settings: Any) -> Registry:
            chosen = Settings(**settings)
            registry = Registry(chosen, internet=hosts.internet, clock=clock, trust=trust)
            return await stack.enter_async_context(registry)

        yield made


@pytest.fixture
async def registry(asking: Callable[..., Any]) -> Registry:
    made: Registry = await asking()
    return made


@pytest.fixture(scope="session")
def distribution_open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """docker-registry without authentication."""
    with distribution.running(tmp_path_factory.mktemp("open")) as started:
        yield started


@pytest.fixture(scope="session")
def distribution_basic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """docker-registry that wants USER and PASSWORD."""
    root: Path = tmp_path_factory.mktemp("basic")
    with distribution.running(root, distribution.htpasswd(root)) as started:
        yield started
