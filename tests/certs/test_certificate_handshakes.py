"""Real TLS on loopback: who trusts whom at every stage of a change of CA; pairs changed live."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_cluster import DAY, SETTINGS

from certs.deed import written
from certs.errors import PairError
from certs.held import assess
from certs.making import new_authority, new_serving
from certs.pair import Content, KeyPair
from certs.plan import Decision, Do
from certs.serving import Serving

NAME = SETTINGS.dns_names[0]
NOW = datetime.now(UTC)

Connect = Callable[..., object]


def stage(before: Content | None, do: Do) -> Content:
    held = assess(before, NOW)
    decision = Decision(do, names=SETTINGS.dns_names)
    return {**(before or {}), **written(decision, held, NOW, SETTINGS)}


def pair_of(content: Content) -> KeyPair:
    pair = assess(content, NOW).pair()
    assert pair is not None
    return pair


FIRST = stage(None, Do.BEGIN)
JOINED = stage(FIRST, Do.ROTATE)
TAKEN = stage(JOINED, Do.ISSUE)
AGAIN = stage(TAKEN, Do.ROTATE)
TAKEN_AGAIN = stage(AGAIN, Do.ISSUE)
STAGES = [FIRST, JOINED, TAKEN, AGAIN, TAKEN_AGAIN]
SERVED_BY = [1, 1, 2, 2, 3]
NEWEST_TRUSTED = [1, 2, 2, 3, 3]


@asynccontextmanager
async def server(serving: Serving) -> AsyncIterator[int]:
    """Answers each line with the same line."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=serving.context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


def client(bundle: bytes, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=bundle.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.minimum_version = context.maximum_version = version
    return context


async def asked(port: int, context: ssl.SSLContext, name: str = NAME) -> x509.Certificate:
    """The certificate that the server showed, after a word was sent and came back."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        writer.write(b"word\n")
        assert await reader.readline() == b"word\n"
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("trusts", range(len(STAGES)))
@pytest.mark.parametrize("serves", range(len(STAGES)))
async def test_at_every_stage_a_client_accepts_the_server_of_the_stage_before_and_after(
    trusts: int, serves: int
) -> None:
    serving = Serving()
    serving.use(pair_of(STAGES[serves]))
    async with server(serving) as port:
        context = client(STAGES[trusts]["ca.crt"])
        if SERVED_BY[serves] <= NEWEST_TRUSTED[trusts]:
            await asked(port, context)
        else:
            assert serves > trusts + 1
            with pytest.raises(ssl.SSLCertVerificationError):
                await asked(port, context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_with_and_without_a_server_name(version: ssl.TLSVersion) -> None:
    serving = Serving()
    serving.use(pair_of(FIRST))
    async with server(serving) as port:
        context = client(FIRST["ca.crt"], version)
        await asked(port, context)
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await asked(port, context, "other.svc")
        context.check_hostname = False
        await asked(port, context, "")


def test_anything_older_is_not_spoken() -> None:
    serving = Serving()
    assert serving.context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_before_the_first_pair_a_handshake_fails_and_after_it_none() -> None:
    serving = Serving()
    assert not serving.ready
    async with server(serving) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asked(port, client(FIRST["ca.crt"]))
        serving.use(pair_of(FIRST))
        assert serving.ready
        await asked(port, client(FIRST["ca.crt"]))


async def test_a_connection_outlives_the_change_of_its_certificate() -> None:
    serving = Serving()
    serving.use(pair_of(FIRST))
    async with server(serving) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client(FIRST["ca.crt"]), server_hostname=NAME
        )
        serving.use(pair_of(TAKEN))
        writer.write(b"still\n")
        assert await reader.readline() == b"still\n"
        writer.close()
        await writer.wait_closed()
        shown = await asked(port, client(TAKEN["ca.crt"]))
        assert shown.public_bytes(Encoding.PEM) == TAKEN["tls.crt"]


@pytest.mark.parametrize(
    "bad",
    [
        KeyPair(FIRST["tls.crt"], TAKEN["tls.key"]),
        KeyPair(b"", FIRST["tls.key"]),
        KeyPair(FIRST["tls.crt"], b""),
        KeyPair(b"garbage", b"garbage"),
        KeyPair(b"\0" * 100, FIRST["tls.key"]),
    ],
    ids=["another's key", "no certificate", "no key", "garbage", "zeros"],
)
async def test_a_pair_that_cannot_be_loaded_leaves_the_one_before(bad: KeyPair) -> None:
    serving = Serving()
    serving.use(pair_of(FIRST))
    async with server(serving) as port:
        with pytest.raises(PairError, match="cannot be loaded"):
            serving.use(bad)
        await asked(port, client(FIRST["ca.crt"]))


def test_an_encrypted_key_is_an_error_not_a_question_on_the_terminal() -> None:
    key = rsa.generate_private_key(65537, 2048)
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption  # noqa: PLC0415

    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(PairError):
        Serving().use(KeyPair(FIRST["tls.crt"], sealed))


def rsa_pair() -> KeyPair:
    """As cert-manager makes them."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(pem, key_pem, pem)


async def test_a_pair_of_another_kind_of_key_replaces_the_one_before_for_everybody() -> None:
    """One OpenSSL context holds a certificate per kind of key, and would go on with both."""
    serving = Serving()
    other = rsa_pair()
    for pair in (pair_of(FIRST), other, pair_of(TAKEN), other):
        serving.use(pair)
        context = client(pair.ca_pem)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        async with server(serving) as port:
            shown = await asked(port, context)
        assert shown.public_bytes(Encoding.PEM) == pair.certificate_pem


def test_a_hundred_changes_leave_no_descriptor_open_and_no_file_behind(tmp_path: Path) -> None:
    serving = Serving()
    serving.use(pair_of(FIRST))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        serving.use(pair_of(TAKEN))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_under_load_a_change_fails_no_request() -> None:
    """Pairs change all the while 600 requests come, most of them on new connections."""
    serving = Serving()
    stages = [FIRST, JOINED, TAKEN, JOINED]
    serving.use(pair_of(FIRST))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"length": len(await request.read())})

    app = web.Application()
    app.router.add_post("/mutate", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving.context)
    await site.start()
    port = runner.addresses[0][1]
    context = client(JOINED["ca.crt"])
    answered: list[int] = []
    kept = aiohttp.TCPConnector(ssl=context)
    fresh = aiohttp.TCPConnector(ssl=context, force_close=True)

    async def ask(connector: aiohttp.TCPConnector, times: int) -> None:
        async with aiohttp.ClientSession(connector=connector, connector_owner=False) as session:
            for _ in range(times):
                url = f"https://127.0.0.1:{port}/mutate"
                async with session.post(url, data=b"x" * 10_000, server_hostname=NAME) as response:
                    assert (await response.json())["length"] == 10_000
                    answered.append(response.status)

    async def change() -> None:
        number = 0
        while len(answered) < 600:
            number += 1
            serving.use(pair_of(stages[number % len(stages)]))
            await asyncio.sleep(0.005)

    try:
        asks = [ask(fresh, 50) for _ in range(8)] + [ask(kept, 50) for _ in range(4)]
        await asyncio.gather(change(), *asks)
    finally:
        await kept.close()
        await fresh.close()
        await runner.cleanup()
    assert answered == [200] * 600


async def test_the_bundle_of_a_ca_alone_is_enough_and_a_stranger_is_refused() -> None:
    stranger = new_authority(NOW, DAY)
    impostor = new_serving(stranger, SETTINGS.dns_names, NOW, DAY)
    serving = Serving()
    serving.use(KeyPair(impostor.certificate_pem, impostor.key_pem, stranger.certificate_pem))
    async with server(serving) as port:
        await asked(port, client(stranger.certificate_pem))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(port, client(TAKEN["ca.crt"]))
