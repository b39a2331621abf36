"""Credentials of a task, as an image or /proc has them, against those of a container. Pure."""

from collections.abc import Iterator
from typing import Any

from agent.trust import capabilities
from agent.trust.rights import Container, Credentials
from chrek.errors import DamagedError

_WORDS = 2
_KEEP_CAPABILITIES = 1 << 4
"""SECBIT_KEEP_CAPS: any process may set it, and the next exec clears it."""


def of_entry(who: str, entry: Any) -> Credentials:
    """Of CRIU's creds_entry; raises DamagedError for sets of a size that none has."""
    return Credentials(
        who=who,
        uids=(entry.uid, entry.euid, entry.suid, entry.fsuid),
        gids=(entry.gid, entry.egid, entry.sgid, entry.fsgid),
        groups=tuple(entry.groups),
        inheritable=_set(entry.cap_inh),
        permitted=_set(entry.cap_prm),
        effective=_set(entry.cap_eff),
        bounding=_set(entry.cap_bnd),
        ambient=_set(entry.cap_amb) if entry.cap_amb else 0,
        no_new_privileges=bool(entry.no_new_privs),
        secure_bits=entry.secbits,
    )


def of_status(who: str, status: str) -> Credentials:
    """Of the text of /proc/PID/status."""
    fields: dict[str, list[str]] = {}
    for line in status.splitlines():
        key, _, value = line.partition(":")
        fields[key] = value.split()
    return Credentials(
        who=who,
        uids=tuple(map(int, fields["Uid"])),
        gids=tuple(map(int, fields["Gid"])),
        groups=tuple(map(int, fields["Groups"])),
        inheritable=int(fields["CapInh"][0], 16),
        permitted=int(fields["CapPrm"][0], 16),
        effective=int(fields["CapEff"][0], 16),
        bounding=int(fields["CapBnd"][0], 16),
        ambient=int(fields["CapAmb"][0], 16),
        no_new_privileges=fields["NoNewPrivs"] == ["1"],
    )


def excesses(task: Credentials, container: Container) -> Iterator[str]:
    """What the task has and the container was not given, each as a phrase."""
    given = container.credentials
    yield from _capabilities(task, container)
    if given.no_new_privileges and not task.no_new_privileges:
        yield "no_new_privs cleared, and the container has it set"
    if not container.may(capabilities.SETUID):
        foreign = sorted(set(task.uids) - set(given.uids))
        if foreign:
            yield f"uid {foreign[0]}, and the container is {given.uids[0]} and cannot change it"
    if not container.may(capabilities.SETGID):
        own = {*given.gids, *given.groups}
        foreign = sorted({*task.gids, *task.groups} - own)
        if foreign:
            listed = ", ".join(map(str, sorted(own)))
            yield f"gid {foreign[0]}, and the container has {listed} and cannot change it"
    bits = task.secure_bits & ~_KEEP_CAPABILITIES
    if bits and not container.may(capabilities.SETPCAP):
        yield f"securebits {bits:#x}, and the container cannot set any"


def _capabilities(task: Credentials, container: Container) -> Iterator[str]:
    given = container.credentials
    attainable = container.ceiling
    for name, held, most in (
        ("permitted", task.permitted, attainable),
        ("effective", task.effective, attainable),
        ("ambient", task.ambient, attainable),
        ("inheritable", task.inheritable, attainable | given.inheritable),
        ("bounding", task.bounding, given.bounding),
    ):
        if more := held & ~most:
            has = capabilities.told(most)
            yield f"{capabilities.told(more)} in its {name} set, and the container has {has}"


def _set(words: Any) -> int:
    if len(words) != _WORDS:
        raise DamagedError(f"a set of capabilities has {len(words)} words, not {_WORDS}")
    low, high = words
    return int(low) | int(high) << 32
