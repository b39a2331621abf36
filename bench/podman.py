"""Podman with runc and the bundle's CRIU, all of its state in a directory of its own.

Two ways that people use: a checkpoint kept in the container that was checkpointed, and one
exported to an archive and imported as another container (which is what chrek always does).
"""

import json
import os
import shutil
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.criu.bundle import Bundle
from bench import commands
from bench.failures import SideFailedError, UnavailableError
from bench.podman_state import Outside
from bench.side import Checkpointed, Restored
from bench.workload import SERVICE, Workload

_IMAGE = "localhost/chrek-bench:latest"
_SOURCE = "source"
_REPLICA = "replica"
_LIMIT = "4096:4096"  # within the hard limits of machines that do not let them be raised
_MICROSECONDS = 1e6


class Podman:
    """One storage for the whole run. export: through an archive, into another container."""

    def __init__(self, work: Path, bundle: Bundle, *, export: bool) -> None:
        if shutil.which("podman") is None:
            raise UnavailableError("podman is not installed (make bench installs it)")
        self.name = "podman export" if export else "podman"
        self._export = export
        self._shown = work / SERVICE.name
        self._home = work / ("px" if export else "p")  # Podman takes 50 characters for runroot
        self._home.mkdir()
        self._archive = self._home / "checkpoint.tar"
        self._outside = Outside()
        self._environment = _environment(self._home, bundle)
        self._restored: str | None = None
        try:
            self.version = self._podman("version", "--format", "{{.Client.Version}}").strip()
            self._podman("import", str(_image(self._home)), _IMAGE)
        except BaseException:
            self.close()
            raise

    def start(self, workload: Workload) -> None:
        """`podman run` with this machine's own Python."""
        limits = ["--ulimit", f"nofile={_LIMIT}", "--ulimit", f"nproc={_LIMIT}"]
        seen = {Path("/usr"), Path(sys.base_prefix).resolve(), self._shown}
        volumes = [f"--volume={path}:{path}:ro" for path in sorted(seen)]
        options = ["--detach", "--name", _SOURCE, "--network=host", *limits, *volumes]
        self._podman("run", *options, _IMAGE, *workload.argv)

    def checkpoint(self) -> Checkpointed:
        """`podman container checkpoint --leave-running`."""
        options = ["--leave-running", "--print-stats"]
        options += ["--export", str(self._archive)] if self._export else []
        seconds, printed = self._timed("container", "checkpoint", *options, _SOURCE)
        found = _statistics(printed)
        criu = found["criu_statistics"]
        freezing, frozen = (criu[name] / _MICROSECONDS for name in ("freezing_time", "frozen_time"))
        runtime = found["runtime_checkpoint_duration"] / _MICROSECONDS
        phases = {
            "freezing": freezing,
            "frozen": frozen,
            "runtime": runtime - freezing - frozen,
            "podman": seconds - runtime,
        }
        return Checkpointed(seconds, freezing + frozen, phases)

    def end_source(self) -> None:
        """Kill it; its checkpoint stays with it unless it was exported."""
        if self._export:
            self._podman("rm", "--force", "--time=0", _SOURCE)
        else:
            self._podman("kill", _SOURCE)
            self._podman("wait", _SOURCE)

    def restore(self) -> Restored:
        """`podman container restore`."""
        options = ["--print-stats"]
        if self._export:
            options += ["--import", str(self._archive), "--name", _REPLICA]
        else:
            options += [_SOURCE]
        seconds, printed = self._timed("container", "restore", *options)
        found = _statistics(printed)
        criu = found["criu_statistics"]["restore_time"] / _MICROSECONDS
        runtime = found["runtime_restore_duration"] / _MICROSECONDS
        phases = {"criu": criu, "runtime": runtime - criu, "podman": seconds - runtime}
        return Restored(seconds, phases)

    def discard(self) -> None:
        """Remove every container, and the archive."""
        self._podman("rm", "--all", "--force", "--time=0")
        self._archive.unlink(missing_ok=True)

    def close(self) -> None:
        """Containers, then storage, mounts and what Podman put elsewhere."""
        with suppress(SideFailedError):
            self._podman("rm", "--all", "--force", "--time=0")
        self._outside.restore(self._home)
        shutil.rmtree(self._home, ignore_errors=True)

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        places = [f"--{name}={self._home / name}" for name in ("root", "runroot", "tmpdir")]
        return ["podman", *places, "--storage-driver=overlay", *words]

    def _podman(self, *words: str) -> str:
        return commands.output(self._argv(words), env=self._environment)

    def _timed(self, *words: str) -> tuple[float, str]:
        return commands.timed(self._argv(words), env=self._environment)


def _statistics(printed: str) -> dict[str, Any]:
    """--print-stats writes one JSON document, among lines for people; of its one container."""
    found, _ = json.JSONDecoder().raw_decode(printed[printed.index("{") :])
    return dict(found["container_statistics"][0])


def _environment(home: Path, bundle: Bundle) -> dict[str, str]:
    """CRIU first on PATH, and a containers.conf that keeps Podman to its directory."""
    programs, temporary = home / "bin", home / "tmp"
    programs.mkdir()
    temporary.mkdir()
    wrapper = programs / "criu"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(bundle.command())} "$@"\n')
    wrapper.chmod(0o755)
    configuration = home / "containers.conf"
    configuration.write_text(
        "[engine]\n"
        'runtime = "runc"\n'
        'cgroup_manager = "cgroupfs"\n'
        'events_logger = "none"\n'
        'lock_type = "file"\n'
        "[network]\n"
        f'network_config_dir = "{home}/network"\n'
    )
    own = {
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
        "TMPDIR": str(temporary),
        "CONTAINERS_CONF": str(configuration),
    }
    return {**os.environ, **own}


def _image(home: Path) -> Path:
    """An image of empty directories: what runs is mounted over them from this machine."""
    tree, archive = home / "image", home / "image.tar"
    for name in ("dev", "etc", "proc", "run", "sys", "tmp", "usr"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (tree / name).symlink_to(f"usr/{name}")
    with tarfile.open(archive, "w") as tar:
        tar.add(tree, ".")
    return archive
