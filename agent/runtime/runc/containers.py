"""Containers of one machine: start, look up, list, stop, and tidy up after killed shims."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from agent.init import binary
from agent.kernel import locks, process, tree
from agent.runtime.runc import network
from agent.runtime.runc.places import Ended, Entry, Places, Started, boot_id
from agent.runtime.target import Target
from chrek import ids
from chrek.errors import (
    ExistsError,
    MachineError,
    NotFoundError,
    RuntimeFailedError,
    TargetGoneError,
)
from chrek.ids import HostPID
from chrek.names import CHREK_DIR
from chrek.phases import Span
from chrek.runspec import RunSpec

_T = TypeVar("_T")
State = Literal["starting", "running", "exited", "lost"]
_POLL_SECONDS = 0.02
_KILL_SECONDS = 30.0
_REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Container:
    """A container as `chrek ps` shows it. status: exit code once it exited. timeline: of its
    restore."""

    name: str
    state: State
    address: str | None
    status: int | None
    restored_from: str | None
    command: list[str]
    started: float | None
    timeline: list[Span]


class Containers:
    """All containers below one root directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def places(self, name: str) -> Places:
        """Paths of the container `name`; raises UsageError for a name that is none."""
        return Places(self.root, ids.label(name, "container name"))

    def start(
        self,
        name: str,
        spec: RunSpec,
        *,
        wait_seconds: float,
    ) -> Target:
        """Make and start a container whose PID 1 is `chrek-init wait`.

        wait_seconds: how long chrek-init waits for the agent's word before a cold start.
        """
        for volume in spec.volumes:
            if not Path(volume.source).exists():
                raise NotFoundError(f"{volume.source}, a volume of the container, does not exist")
        waiting = [f"{CHREK_DIR}/chrek-init", "wait", "--timeout", f"{wait_seconds:.3f}", "--"]
        entry = Entry(name, spec, [*waiting, *spec.argv], name)
        with self._claimed(name) as places:
            places.chrek_dir.mkdir()
            binary.install(places.chrek_dir)
            places.chrek_dir.chmod(0o777)  # as an emptyDir: the container's user writes there
            places.entry.write_bytes(msgspec.json.encode(entry))
            self._start_shim(places)
        return self.target(name)

    def note_restored(self, name: str, checkpoint: str, timeline: Sequence[Span]) -> None:
        """Mark a container as restored from `checkpoint`; one that started cold is not."""
        places = self.places(name)
        entry, _ = self._read(places)
        if entry is not None:
            beside = places.entry.with_suffix(".tmp")
            marked = msgspec.structs.replace(entry, restored_from=checkpoint, timeline=[*timeline])
            beside.write_bytes(msgspec.json.encode(marked))
            beside.rename(places.entry)

    def target(self, name: str) -> Target:
        """The running container `name`; raises NotFoundError."""
        places = self.places(name)
        entry, started = self._read(places)
        if entry is None or started is None or self._state(places, started) != "running":
            raise NotFoundError(f"no container {name} is running", hint="See `chrek ps`")
        return Target(
            name=name,
            container=places.container,
            init=HostPID(started.init_pid),
            init_ticks=started.init_ticks,
            spec=entry.spec,
        )

    def list(self) -> list[Container]:
        """Every container that runs or whose end was not yet taken note of with `stop`."""
        homes = self.root / "containers"
        names = sorted(home.name for home in homes.iterdir()) if homes.is_dir() else []
        return [found for name in names if (found := self._describe(name)) is not None]

    def describe(self, name: str) -> Container:
        """One container; raises NotFoundError."""
        found = self._describe(ids.label(name, "container name"))
        if found is None:
            raise NotFoundError(f"there is no container {name}", hint="See `chrek ps`")
        return found

    def signal(self, name: str, number: int) -> None:
        """Send a signal to PID 1 (chrek-init forwards it to the app)."""
        with self.target(name).pidfd() as pidfd:
            signal.pidfd_send_signal(pidfd, number)

    def stop(self, name: str, grace_seconds: float) -> int | None:
        """SIGTERM, SIGKILL after the grace, then forget the container; its exit status."""
        places = self.places(name)
        deadline = time.monotonic() + _KILL_SECONDS
        while self.describe(name).state == "starting" and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if self.describe(name).state == "running":
            # Either may find that it has just ended by itself.
            with suppress(NotFoundError, TargetGoneError):
                self.signal(name, signal.SIGTERM)
            if not self._wait_gone(places, grace_seconds):
                with suppress(NotFoundError, TargetGoneError):
                    self.signal(name, signal.SIGKILL)
                self._wait_gone(places, _KILL_SECONDS)
        ended = _decoded(places.ended, Ended)
        self._remove(places)
        return ended.status if ended else None

    def tidy(self) -> None:
        """Take away what shims that were killed left: processes, mounts, addresses, files."""
        for container in self.list():
            if container.state == "lost":
                self._remove(self.places(container.name), keep_log=True)
        network.tidy()

    def _claim(self, name: str) -> Places:
        places = self.places(name)
        described = self._describe(name)
        if described is not None and described.state in ("running", "starting"):
            raise ExistsError(
                f"a container {name} is running", hint=f"Choose another, or `chrek stop {name}`"
            )
        if described is not None:
            self._remove(places)
        try:
            places.home.mkdir(parents=True, mode=0o755)
        except FileExistsError as error:
            raise ExistsError(f"a container {name} is being started") from error
        return places

    @contextmanager
    def _claimed(self, name: str) -> Iterator[Places]:
        """The name, given back when the container cannot be started."""
        try:
            places = self._claim(name)
        except OSError as error:
            raise RuntimeFailedError(f"container {name} could not be made: {error}") from error
        try:
            yield places
        except OSError as error:
            tree.remove(places.home)
            raise RuntimeFailedError(f"container {name} could not be started: {error}") from error
        except BaseException:
            tree.remove(places.home)
            raise

    def _start_shim(self, places: Places) -> None:
        # Not -I: an editable install finds this package through site-packages either way, but a
        # checkout that was copied finds it through the path given here.
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(_REPOSITORY)}
        for setting in ("CHREK_SUBNET",):
            if setting in os.environ:
                environment[setting] = os.environ[setting]
        with places.shim_log.open("ab") as log:
            shim = subprocess.Popen(
                [sys.executable, "-m", "agent.runtime.runc.shim", str(self.root), places.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        assert shim.stdout is not None
        said = shim.stdout.readline()
        shim.stdout.close()
        shim.returncode = 0  # it outlives this command; init reaps it
        word: dict[str, str] = json.loads(said) if said else {"error": "the shim died"}
        if "error" in word:
            tail = _tail(places.log) or _tail(places.shim_log)
            hint = word.get("hint") or (f"It said: {tail}" if tail else "")
            kind = MachineError if word.get("reason") == MachineError.reason else RuntimeFailedError
            raise kind(f"container {places.name}: {word['error']}", hint=hint)

    def _read(self, places: Places) -> tuple[Entry | None, Started | None]:
        return _decoded(places.entry, Entry), _decoded(places.started, Started)

    def _state(self, places: Places, started: Started | None) -> State:
        if places.ended.exists():
            return "exited"
        if not locks.held(places.lock):
            return "lost" if places.lock.exists() else "starting"
        if started is None or started.boot_id != boot_id():
            return "starting"
        # Its shim lives: it is about to note the end, or to start the container again.
        return "running" if process.same(started.init_pid, started.init_ticks) else "starting"

    def _describe(self, name: str) -> Container | None:
        places = Places(self.root, name)
        if not places.home.is_dir():
            return None
        entry, started = self._read(places)
        ended = _decoded(places.ended, Ended)
        return Container(
            name=name,
            state=self._state(places, started),
            address=started.address if started else None,
            status=ended.status if ended else None,
            restored_from=entry.restored_from if entry else None,
            command=entry.spec.argv if entry else [],
            started=started.started if started else None,
            timeline=entry.timeline if entry else [],
        )

    def _wait_gone(self, places: Places, grace_seconds: float) -> bool:
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline:
            if not locks.held(places.lock):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _remove(self, places: Places, *, keep_log: bool = False) -> None:
        command = ["runc", "--root", str(places.runc_root), "delete", "--force", places.container]
        if (places.runc_root / places.container).exists():
            try:
                subprocess.run(command, capture_output=True, check=False)
            except FileNotFoundError as error:
                raise MachineError("runc is missing", hint="apt install runc") from error
        if keep_log:
            for directory in (places.upper, places.work, places.bundle, places.chrek_dir):
                tree.remove(directory)
            places.ended.write_bytes(
                msgspec.json.encode(Ended(status=128 + signal.SIGKILL, ended=time.time()))
            )
        else:
            tree.remove(places.home)


def _decoded(path: Path, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _tail(path: Path, most: int = 400) -> str:
    try:
        return path.read_text(errors="replace")[-most:].strip()
    except FileNotFoundError:
        return ""
