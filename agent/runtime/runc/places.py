"""Where containers of one machine keep their things, and the files' forms."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.settings import mark
from chrek.phases import Span
from chrek.runspec import RunSpec

DEFAULT_ROOT = Path("/var/lib/chrek")


class Started(msgspec.Struct, frozen=True):
    """Written by a container's shim once PID 1 runs."""

    init_pid: int
    init_ticks: int
    shim_pid: int
    started: float
    address: str | None
    hostname: str
    boot_id: str


class Ended(msgspec.Struct, frozen=True):
    """Written by the shim after PID 1 ended. status: exit code, 128+N for signal N."""

    status: int
    ended: float


class Entry(msgspec.Struct, frozen=True):
    """What a container was made for. restored_from: ID/variant, when it is a placeholder; timeline:
    when each phase of its restore ran, since the container was asked for."""

    name: str
    spec: RunSpec
    init_argv: list[str]
    hostname: str
    restored_from: str | None = None
    timeline: list[Span] = []


@dataclass(frozen=True, slots=True)
class Places:
    """All paths of one container below `root`."""

    root: Path
    name: str

    @property
    def home(self) -> Path:
        return self.root / "containers" / self.name

    @property
    def entry(self) -> Path:
        return self.home / "entry.json"

    @property
    def started(self) -> Path:
        return self.home / "started.json"

    @property
    def ended(self) -> Path:
        return self.home / "ended.json"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def shim_log(self) -> Path:
        return self.home / "shim.log"

    @property
    def bundle(self) -> Path:
        return self.home / "bundle"

    @property
    def upper(self) -> Path:
        return self.home / "upper"

    @property
    def work(self) -> Path:
        return self.home / "work"

    @property
    def chrek_dir(self) -> Path:
        return self.home / "chrek"

    @property
    def hosts(self) -> Path:
        return self.home / "hosts"

    @property
    def runc_root(self) -> Path:
        return self.root / "runc"

    @property
    def container(self) -> str:
        """runc's id: unique on the machine, also between two roots."""
        return f"chrek-{mark(self.root)}-{self.name}"


def boot_id() -> str:
    """Changes at every boot: state with another one describes processes that are gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
