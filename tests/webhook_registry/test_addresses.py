import asyncio
import ipaddress
import socket
import threading

import pytest

from webhook.registry.addresses import SystemInternet, TooManyNamesError, Zone, zone


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", Zone.PUBLIC),
        ("2606:4700::1111", Zone.PUBLIC),
        ("10.0.0.1", Zone.PRIVATE),
        ("172.16.0.1", Zone.PRIVATE),
        ("192.168.1.1", Zone.PRIVATE),
        ("100.64.0.1", Zone.PRIVATE),
        ("100.100.100.200", Zone.PRIVATE),
        ("fd00:ec2::254", Zone.PRIVATE),
        ("fec0::1", Zone.PRIVATE),
        ("198.51.100.7", Zone.PRIVATE),
        ("127.0.0.1", Zone.LOCAL),
        ("127.9.9.9", Zone.LOCAL),
        ("169.254.169.254", Zone.LOCAL),
        ("0.0.0.0", Zone.LOCAL),
        ("255.255.255.255", Zone.LOCAL),
        ("240.0.0.1", Zone.LOCAL),
        ("224.0.0.1", Zone.LOCAL),
        ("::", Zone.LOCAL),
        ("::1", Zone.LOCAL),
        ("fe80::1", Zone.LOCAL),
        ("fe80::1%eth0", Zone.LOCAL),
        ("ff02::1", Zone.LOCAL),
        ("::ffff:169.254.169.254", Zone.LOCAL),
        ("::ffff:10.0.0.1", Zone.PRIVATE),
        ("::ffff:1.1.1.1", Zone.PUBLIC),
        ("64:ff9b::a9fe:a9fe", Zone.LOCAL),
        ("64:ff9b::101:101", Zone.PUBLIC),
        ("2002:7f00:1::", Zone.LOCAL),
        ("2002:a00:1::", Zone.PRIVATE),
    ],
)
def test_every_address_is_public_private_or_local(address: str, expected: Zone) -> None:
    assert zone(ipaddress.ip_address(address)) is expected


async def test_the_systems_names_are_looked_up() -> None:
    found = await SystemInternet().addresses("localhost")
    assert found
    assert all(zone(address) is Zone.LOCAL for address in found)


@pytest.mark.parametrize("host", ["", "a" * 300, "\0", "ä" * 70, "x..y", "127.0.0.1.2"])
async def test_a_name_that_is_none_is_an_os_error(host: str) -> None:
    error: OSError | None = None
    try:
        await SystemInternet().addresses(host + ".invalid")
    except OSError as raised:
        error = raised
    assert error is not None


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
async def test_an_odd_spelling_of_loopback_is_loopback(spelling: str) -> None:
    found = await SystemInternet().addresses(spelling)
    assert [zone(address) for address in found] == [Zone.LOCAL]


async def test_names_that_nobody_answers_hold_few_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        release.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    internet = SystemInternet()
    waiting = [asyncio.create_task(internet.addresses("x")) for _ in range(16)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(TooManyNamesError):
            await internet.addresses("one more")
    finally:
        release.set()
    assert await asyncio.gather(*waiting) == [[]] * 16
    assert await internet.addresses("again") == []
