"""Debian's Redis, with data, with clients, appending to its file."""

import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.machine.conftest import wait_for
from tests.survival.lives import Life, Lives

REDIS = "/usr/bin/redis-server"
PORT = 6379


class Client:
    """A connection that speaks RESP, as far as it is needed here."""

    def __init__(self, life: Life) -> None:
        self._socket = socket.create_connection((life.address, PORT), timeout=60)
        self._file = self._socket.makefile("rb")

    def __call__(self, *words: str) -> str | int | None:
        packed = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
        self._socket.sendall(b"*%d\r\n%s" % (len(words), packed))
        head = self._file.readline().decode().rstrip()
        if not head:
            raise ConnectionResetError
        if head[0] == "$":
            size = int(head[1:])
            return None if size < 0 else self._file.read(size + 2)[:-2].decode()
        assert head[0] in "+:", head
        return int(head[1:]) if head[0] == ":" else head[1:]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def source(lives: Lives) -> Life:
    if not shutil.which(REDIS):
        pytest.skip("needs Debian's redis-server")
    return lives.start(
        "redis", REDIS, "--dir", "/var/tmp", "--appendonly", "yes", "--appendfsync", "everysec",
        "--save", "", "--protected-mode", "no", "--daemonize", "no",
        ready="Ready to accept connections",
    )  # fmt: skip


def appended(life: Life) -> str:
    files = sorted(Path(life.path("/var/tmp/appendonlydir")).glob("*.incr.aof"))
    return "".join(file.read_text(errors="replace") for file in files)


def test_redis_goes_on_with_its_data_and_its_file(lives: Lives, source: Life) -> None:
    with closing(Client(source)) as client, closing(Client(source)) as idle:
        for number in range(500):
            client("SET", f"key:{number}", f"value {number}")
        assert client("EXPIRE", "key:1", "10000") == 1

        copy = lives.again(source, "copy")

        # The source's clients are still connected, and what they write is only the source's.
        assert client("SET", "of the source", "yes") == "OK"
        assert idle("DBSIZE") == 501
        with closing(Client(copy)) as other:
            assert other("DBSIZE") == 500
            assert other("GET", "key:77") == "value 77"
            assert other("GET", "of the source") is None
            assert 0 < int(other("TTL", "key:1") or 0) <= 10_000
            assert other("SET", "of the copy", "yes") == "OK"
            # It forks to write its file anew, as it does by itself.
            assert "started" in str(other("BGREWRITEAOF"))
            done = "aof_rewrite_in_progress:0"
            wait_for(lambda: done in str(other("INFO", "persistence")), "the file to be rewritten")
            assert "aof_last_bgrewrite_status:ok" in str(other("INFO", "persistence"))
            assert other("SET", "after that", "yes") == "OK"
        assert "after that" in appended(copy)
        assert "of the source" in appended(source)
        assert "of the copy" not in appended(source)
        assert client("GET", "key:499") == "value 499"
