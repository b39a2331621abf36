"""A cgroup for a command: a runtime ends a container with all that is in its cgroup."""

from pathlib import Path

from agent.kernel import cgroups


class Cgroup:
    """Made when it is first used. On cgroup v1 one hierarchy is enough to find the processes."""

    def __init__(self, name: str) -> None:
        first = next(iter(cgroups.of("self")))
        hierarchy = "pids" if "pids" in cgroups.of("self") else first
        self._path: Path = cgroups.directory(hierarchy, name)

    def joined(self) -> tuple[str, ...]:
        """What a command begins with that is to run in it."""
        self._path.mkdir()
        return ("sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(self._path))

    def processes(self) -> list[int]:
        return [int(line) for line in (self._path / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        """Once all that ran in it has ended."""
        if self._path.exists():
            self._path.rmdir()
