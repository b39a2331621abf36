"""All agents of a release sign with one key, whoever of them made it, and it can be changed."""

import asyncio
from contextlib import suppress

import pytest

from agent.trust import pem
from agent.trust.keys import Keyring
from agent.trust.secret import of_secret
from chrek.errors import SigningKeyError, UntrustedKeyError
from chrek.kube.errors import APIError
from tests.trust.keymaking import keyring, public
from tests.trust.secrets_api import NAME, NAMESPACE, Secrets, serving

CONTENT = b"manifest"


class Hand:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def clocked(keys: Keyring) -> Hand:
    hand = Hand()
    keys._clock, keys._read_at = hand, 0.0
    return hand


async def test_the_first_agent_fills_an_empty_secret_and_the_next_reads_it() -> None:
    secrets = Secrets()
    async with serving(secrets) as api:
        first = await of_secret(api, NAMESPACE, NAME)
        second = await of_secret(api, NAMESPACE, NAME)
    second.check(CONTENT, first.sign(CONTENT))
    assert secrets.writes == 1
    assert set(secrets.data or {}) == {"signing.pem"}


async def test_of_many_agents_at_once_one_writes_and_all_have_its_key() -> None:
    secrets = Secrets()
    async with serving(secrets) as api:
        found = await asyncio.gather(*(of_secret(api, NAMESPACE, NAME) for _ in range(20)))
    assert len({keys.key_id for keys in found}) == 1
    assert secrets.writes == 1


@pytest.mark.parametrize(
    "data",
    [
        {"signing.pem": b""},
        {"signing.pem": b"garbage"},
        {"signing.pem": public(pem.new())},
        {"trusted-old.pem": b"garbage"},
        {"trusted-old.pem": pem.new()},
        {"signing.pem": pem.new(), "trusted.pem": public(pem.new()) + b"-----BEGIN X-----"},
    ],
)
async def test_what_is_no_key_is_an_error_and_nothing_is_overwritten(
    data: dict[str, bytes],
) -> None:
    secrets = Secrets(dict(data))
    async with serving(secrets) as api:
        with pytest.raises(SigningKeyError, match=r"(signing|trusted).*\.pem of Secret") as raised:
            await of_secret(api, NAMESPACE, NAME)
    assert raised.value.reason == "SigningKeyInvalid"
    assert secrets.data == data
    assert secrets.writes == 0


async def test_a_missing_secret_is_the_charts_matter() -> None:
    async with serving(Secrets(None)) as api:
        with pytest.raises(SigningKeyError, match="there is no Secret chrek/chrek-signing"):
            await of_secret(api, NAMESPACE, NAME)


async def test_an_api_server_that_is_away_is_worth_another_try() -> None:
    async with serving(Secrets(down=True)) as api:
        with pytest.raises(APIError) as raised:
            await of_secret(api, NAMESPACE, NAME)
    assert raised.value.retry


async def test_keys_can_be_rotated_with_no_checkpoint_lost() -> None:
    secrets = Secrets()
    async with serving(secrets) as api:
        agents = [await of_secret(api, NAMESPACE, NAME) for _ in range(2)]
        hands = [clocked(keys) for keys in agents]
        old = agents[0].sign(CONTENT)
        assert secrets.data is not None
        secrets.edit(trusted_old_pem=public(secrets.data["signing.pem"]), signing_pem=pem.new())

        restarted = await of_secret(api, NAMESPACE, NAME)
        new = restarted.sign(CONTENT)
        restarted.check(CONTENT, old)
        for keys, hand in zip(agents, hands, strict=True):
            with pytest.raises(UntrustedKeyError):
                keys.check(CONTENT, new)
            hand.now += 11
            await keys.refresh()
            keys.check(CONTENT, new)
            keys.check(CONTENT, old)
            assert keys.key_id == restarted.key_id

        secrets.edit(trusted_old_pem=None)
        with pytest.raises(UntrustedKeyError):
            (await of_secret(api, NAMESPACE, NAME)).check(CONTENT, old)


async def test_a_key_file_may_hold_several_public_keys() -> None:
    others = [pem.new() for _ in range(3)]
    bundle = b"\n".join(public(other) for other in others)
    async with serving(Secrets({"signing.pem": pem.new(), "trusted.pem": bundle})) as api:
        keys = await of_secret(api, NAMESPACE, NAME)
    assert len(keys.trusted) == 4
    for other in others:
        keys.check(CONTENT, keyring(other).sign(CONTENT))


async def test_unknown_keys_make_at_most_one_read_in_ten_seconds() -> None:
    secrets = Secrets()
    async with serving(secrets) as api:
        keys = await of_secret(api, NAMESPACE, NAME)
        hand = clocked(keys)
        before = secrets.reads
        for hand.now in (1.0, 9.9, 10.0, 10.1, 19.9, 20.0):
            await asyncio.gather(*(keys.refresh() for _ in range(5)))
        assert secrets.reads == before + 2


async def test_keys_that_cannot_be_read_again_stay_as_they_were() -> None:
    secrets = Secrets()
    async with serving(secrets) as api:
        keys = await of_secret(api, NAMESPACE, NAME)
        hand, known = clocked(keys), keys.key_id
        for damage in (
            lambda: setattr(secrets, "down", True),
            lambda: setattr(secrets, "data", None),
        ):
            damage()
            hand.now += 11
            with suppress(SigningKeyError):
                await keys.refresh()
            assert keys.key_id == known
            secrets.down = False
