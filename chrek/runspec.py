"""What `chrek run` was asked to run: enough to make the same container again."""

from typing import Final, Literal

import msgspec

Network = Literal["host", "private"]
ALL_GPUS: Final = "all"


class Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A directory or file of the host inside the container."""

    source: str
    target: str
    read_only: bool = False


class RunSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A container on one machine, over an overlay of the host's root.

    env: NAME -> value. memory_bytes: 0 is no limit. seccomp: an OCI LinuxSeccomp object, which
    the runtime applies to the whole container. gpus: ["all"], or UUIDs or numbers.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int = 0
    gid: int = 0
    network: Network = "private"
    volumes: list[Volume] = []
    drop_capabilities: list[str] = []
    no_new_privileges: bool = True
    read_only: bool = False
    memory_bytes: int = 0
    seccomp: dict[str, object] | None = None
    gpus: list[str] = []
