from pathlib import Path

import pytest

from chrek.errors import UsageError
from webhook.registry.errors import RegistryUnreachableError
from webhook.registry.lookup import Registry
from webhook.registry.settings import Settings

from . import images
from .certificates import Authority
from .hosts import Host, Hosts


def test_the_defaults_leave_an_admission_time() -> None:
    assert Settings().deadline_seconds < 5
    assert Settings().insecure_registries == frozenset()


@pytest.mark.parametrize("host", ["registry", "registry:5000", "10.0.0.1:80", "[::1]:5000"])
def test_a_host_is_listed_as_image_names_spell_it(host: str) -> None:
    Settings(insecure_registries=frozenset({host}))


@pytest.mark.parametrize(
    "host", ["", "http://a", "a/b", "A", "u@a", "a:b", "a b", "*.a", "a:99999", "a?", "a#b", "[::"]
)
def test_anything_else_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="insecure registry"):
        Settings(insecure_registries=frozenset({host}))


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_no_time_and_endless_time_are_refused(seconds: float) -> None:
    with pytest.raises(UsageError):
        Settings(deadline_seconds=seconds)


def test_some_architecture_is_needed() -> None:
    with pytest.raises(UsageError):
        Settings(architectures=())


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_ca_bundle_that_is_none_is_refused(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(UsageError, match="CA bundle"):
        Registry(Settings(ca_bundle=bundle))


async def test_a_ca_bundle_is_trusted_besides_the_systems(
    hosts: Hosts, authority: Authority, host: Host
) -> None:
    host.holds("app", "latest", images.image(images.config(["/app"])))
    settings = Settings(ca_bundle=authority.bundle)
    async with Registry(settings, internet=hosts.internet) as registry:
        assert (await registry.config(f"{host.at}/app")).entrypoint == ("/app",)
    async with Registry(internet=hosts.internet) as registry:
        with pytest.raises(RegistryUnreachableError, match="no certificate to trust"):
            await registry.config(f"{host.at}/app")
