"""Everything a program may have open, mapped or armed works on: in the source, in what was restored
from it, and in what was restored from that."""

from typing import Any

import pytest

from tests.survival.lives import Lives

EXPECTED: dict[str, Any] = {
    "eventfd": 3,
    "signalfd": True,
    "pending_signal": [True, 3],
    "timerfd": "ticks",
    "inotify": [[2, ""], [1, "new"], [1, "new"]],
    "pidfd": [[], 0],
    "epoll": ["edge", "oneshot"],
    "pipes": ["in a pipe", "in a fifo", 1 << 18],
    "socket_pairs": ["in a socket"] * 3,
    "passed_descriptor": "passed",
    "unix_server": ["asked", "new"],
    "unix_backlog": "early",
    "udp": ["datagram"] * 2,
    "tcp_options": [20, [1, 1, 1], ["127.0.0.1", 7001], ["0.0.0.0", 0]],
    "netlink": [3, 16],
    "tmpfile": ["without a name", "nor there"],
    "deleted": {
        "content": "deleted but open",
        "same": True,
        "shared offset": 5,
        "successor": "successor",
        "linked": "one name left",
        "other name": "one name left",
        "in memory": "deleted in memory",
        "links": 1,
    },
    "deleted_directory": [[], False],
    "memfd": {
        "content": "in a memfd",
        "mapped": "in a memfd",
        "seals": 15,
        "write": "sealed",
        "shared": "shared",
        "one memory": "here",
        "size": 1 << 20,
        "was": True,
    },
    "mapped_files": {
        "private": "privatef",
        "untouched page": "ff",
        "file under private": "ffffffff",
        "shared": "shared",
        "file under shared": "shared",
        "goes to the file": True,
        "unlinked": "unlinked",
        "only read": "ff",
    },
    "anonymous_memory": {
        "private": "private",
        "shared": "shared",
        "with a child": 1,
        "advised": ["kept", "kept"],
    },
    "locks": {"flock": "EAGAIN", "posix": "EAGAIN", "posix elsewhere": "free", "ofd": "EAGAIN"},
    "lease": True,
    "flags_of_descriptors": {
        "append": True,
        "offset": 4,
        "cloexec": [False, True],
        "o_path": 10,
        "cwd": "/var/tmp/kinds",
        "umask": 0o027,
    },
    "timers": {"real": True, "posix": True, "virtual": True},
    "timers_whose_signals_wait": "ticks",
}


@pytest.fixture(scope="module")
def answers(all_lives: Lives) -> dict[str, dict[str, Any]]:
    """What the program says: at first, after the capture, and in two generations of copies."""
    source = all_lives.start("kinds", "kinds.py")
    told = {"before": source.ask()}
    copy = all_lives.again(source, "kinds-1")
    told |= {"source": source.ask(), "copy": copy.ask()}
    told["copy of the copy"] = all_lives.again(copy, "kinds-2").ask()
    told["captured copy"] = copy.ask()
    all_lives.stop_all()
    return told


@pytest.mark.parametrize("kind", EXPECTED)
def test_it_works_on(answers: dict[str, dict[str, Any]], kind: str) -> None:
    assert {who: told[kind] for who, told in answers.items()} == dict.fromkeys(
        answers, EXPECTED[kind]
    )


def test_no_kind_was_forgotten(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["before"].keys() == EXPECTED.keys()
