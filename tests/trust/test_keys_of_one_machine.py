"""The keys of one machine are made once, kept from others, and never made anew by mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.trust import pem
from agent.trust.local import local
from chrek.errors import SigningKeyError, UntrustedKeyError
from tests.trust.keymaking import keyring, public

CONTENT = b"manifest"
_ID = "import sys; from pathlib import Path; from agent.trust.local import local\n"
_ID += "sys.stdin.readline(); print(local(Path(sys.argv[1])).key_id)"


def test_a_key_is_made_at_first_use_for_root_alone_and_stays(tmp_path: Path) -> None:
    first = local(tmp_path)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys/signing.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["signing.pem"]
    local(tmp_path).check(CONTENT, first.sign(CONTENT))


def test_of_many_processes_at_once_all_have_the_same_key(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _ID, tmp_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = {racer.communicate(timeout=60)[0] for racer in racers}
    assert told == {f"{local(tmp_path).key_id}\n"}


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_an_error_and_is_left(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "keys/signing.pem"
    place.parent.mkdir(mode=0o700)
    place.write_bytes(content)
    place.chmod(0o600)
    with pytest.raises(SigningKeyError, match=r"signing\.pem") as raised:
        local(tmp_path)
    assert raised.value.reason == "SigningKeyInvalid"
    assert place.read_bytes() == content


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    local(tmp_path)
    (tmp_path / "keys/signing.pem").chmod(0o640)
    with pytest.raises(SigningKeyError, match="read by others"):
        local(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file is given away")
def test_a_trusted_key_that_belongs_to_somebody_else_is_not_used(tmp_path: Path) -> None:
    local(tmp_path)
    place = tmp_path / "keys/trusted-other.pem"
    place.write_bytes(public(pem.new()))
    place.chmod(0o644)
    local(tmp_path)
    os.chown(place, 1000, 1000)
    with pytest.raises(SigningKeyError, match="changed by others"):
        local(tmp_path)


def test_a_key_that_is_a_link_or_a_pipe_is_not_used(tmp_path: Path) -> None:
    local(tmp_path)
    place = tmp_path / "keys/trusted-x.pem"
    place.symlink_to(tmp_path / "keys/signing.pem")
    with pytest.raises(SigningKeyError, match="trusted-x"):
        local(tmp_path)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(SigningKeyError, match="no plain file"):
        local(tmp_path)


async def test_a_key_that_was_added_is_known_after_a_refresh(tmp_path: Path) -> None:
    other = pem.new()
    signed = keyring(other).sign(CONTENT)
    keys = local(tmp_path)
    keys._clock = lambda: float("inf")  # ten seconds are over
    place = tmp_path / "keys/trusted-other.pem"
    place.write_bytes(public(other))
    place.chmod(0o644)
    with pytest.raises(UntrustedKeyError):
        keys.check(CONTENT, signed)
    await keys.refresh()
    keys.check(CONTENT, signed)
