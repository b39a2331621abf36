"""Mode `external`: a Secret that cert-manager makes is read, served, and never written."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_cluster import NAMES, SETTINGS, START, Replica, World

from certs.errors import UnreachableError
from certs.serving import Serving

EXTERNAL = replace(SETTINGS, mode="external")


def made(kind: str = "rsa", name: str = NAMES[0], days: float = 90) -> dict[str, bytes]:
    """A Secret as cert-manager fills one: a chain in tls.crt, keys of any kind."""
    keys = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    key = keys[kind]()
    signer = rsa.generate_private_key(65537, 2048)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "their CA")])

    def signed(
        subject: x509.Name, public: object, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(START - timedelta(days=100))
            .not_valid_after(START + timedelta(days=days))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(signer, hashes.SHA256())

    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    leaf = signed(x509.Name([]), key.public_key(), names)
    root = signed(issuer, signer.public_key(), x509.BasicConstraints(ca=True, path_length=None))
    return {
        "tls.crt": leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
        "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "ca.crt": root.public_bytes(Encoding.PEM),
    }


@pytest.fixture
async def world() -> AsyncIterator[World]:
    return World()


@pytest.fixture
async def replica(world: World) -> AsyncIterator[Replica]:
    replica = Replica(world, "one", EXTERNAL)
    yield replica
    await replica.kill()


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
async def test_what_is_there_is_served_with_its_chain(
    kind: str, world: World, replica: Replica
) -> None:
    world.secret = made(kind)
    await world.drive(lambda: bool(replica.served))
    assert replica.pair.certificate_pem.count(b"BEGIN") == 2
    assert replica.pair.ca_pem == world.secret["ca.crt"]
    Serving().use(replica.pair)


async def test_another_one_is_served_at_once_and_nothing_is_ever_written(
    world: World, replica: Replica
) -> None:
    world.secret = made()
    await world.drive(lambda: bool(replica.served))
    await world.pass_time(1000)
    assert len(replica.served) == 1
    at = world.at
    world.secret = made("ec")
    world.secret_version += 1
    await world.drive(lambda: len(replica.served) == 2)
    assert world.at - at < 1
    world.delete()
    await world.pass_time(1000)
    assert world.writes == []
    assert replica.serves_the_secret() is False
    assert replica.keeper.pair is not None, "what was served goes on"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "it is missing"),
        ({"tls.crt": b""}, "tls.crt is missing or damaged"),
        ({"tls.crt": b"garbage"}, "tls.crt is missing or damaged"),
        ({"tls.key": b""}, "tls.key is missing, damaged or not the key of tls.crt"),
        ({"tls.key": made()["tls.key"]}, "tls.key is missing, damaged or not the key of tls.crt"),
    ],
    ids=["missing", "no certificate", "garbage", "no key", "another key"],
)
async def test_what_cannot_be_served_is_said_once_and_served_when_it_is_mended(
    change: dict[str, bytes] | None,
    said: str,
    world: World,
    replica: Replica,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = made()
    world.secret = None if change is None else {**good, **change}
    with caplog.at_level(logging.WARNING):
        await world.pass_time(600)
    assert not replica.served
    fields = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [one["why"] for one in fields] == [said]
    assert "chrek-tls" in str(fields[0]["secret"])
    assert "cert" in str(fields[0]["hint"])
    at = world.at
    world.secret = good
    world.secret_version += 1
    await world.drive(lambda: bool(replica.served))
    assert world.at - at < 1


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (made(days=-1), "tls.crt has expired or is not yet valid"),
        (made(name="other.svc"), f"tls.crt is not for {NAMES[0]}"),
    ],
    ids=["expired", "another name"],
)
async def test_what_clients_will_refuse_is_said_but_there_is_nothing_better(
    secret: dict[str, bytes],
    said: str,
    world: World,
    replica: Replica,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.secret = secret
    with caplog.at_level(logging.WARNING):
        await world.drive(lambda: bool(replica.served))
        await world.pass_time(1)
    assert [record.fields["why"] for record in caplog.records] == [said]  # type: ignore[attr-defined]


async def test_an_api_server_that_is_away_is_asked_again(world: World, replica: Replica) -> None:
    world.secret = made()
    world.fail = lambda _who, _what: UnreachableError("away")
    await world.pass_time(300)
    assert not replica.served
    world.fail = lambda _who, _what: None
    await world.drive(lambda: bool(replica.served))


async def test_whoever_waits_for_the_first_pair_gets_it(world: World, replica: Replica) -> None:
    waits = asyncio.create_task(replica.keeper.first())
    await world.pass_time(60)
    assert not waits.done()
    world.secret = made()
    world.secret_version += 1
    await world.drive(waits.done)
    assert await waits == replica.pair
