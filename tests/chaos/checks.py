"""What must hold after a round, whatever was done in it. Each raises Wrong."""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent import settings
from agent.init import words
from agent.kernel import cgroups, process
from agent.runtime.runc.containers import Container
from agent.runtime.target import Target
from chrek.errors import ChrekError
from tests.chaos.ground import NAMESPACES, Command, Ground, Wrong, wait_for

_SETTLE_SECONDS = 60.0


def asked(target: Target) -> dict[str, Any]:
    """What the program of a container says of itself."""
    answer, root = target.root / "tmp/answer", target.root
    with suppress(OSError):  # of a container that ends at this moment
        answer.unlink(missing_ok=True)  # one of the source, in a copy
        (root / "tmp/question").write_text("")
        (root / "tmp/question").rename(root / "tmp/ask")
    wait_for(lambda: answer.exists() or not target.alive(), f"{target.name} to answer")
    if not target.alive():
        raise Wrong(f"{target.name} has ended")
    told: dict[str, Any] = json.loads(answer.read_text())
    return told


def serves(target: Target) -> dict[str, Any]:
    """Every part of the program goes on, finds nothing wrong, and nobody holds it."""
    first = asked(target)

    def moved() -> bool:
        return all(b > a for a, b in zip(first["beats"], asked(target)["beats"], strict=True))

    try:
        wait_for(moved, f"every part of {target.name} to go on", 30)
    except Wrong as error:
        raise Wrong(f"{error}: {asked(target)}") from error
    told = asked(target)
    if told["wrong"]:
        raise Wrong(f"{target.name} found wrong: {told['wrong']}")
    wait_for(lambda: not held(target), f"nobody to hold {target.name}: {held(target)}", 10)
    return told


def held(target: Target) -> list[str]:
    """Tasks that stand still or have a tracer; a program that forks makes some for a moment."""
    return [
        f"{each.name} {each.pid}: state {each.state}, tracer {each.tracer}"
        for each in process.in_pid_namespace(target.init)
        if each.state in "tT" or each.tracer
    ]


def processes(target: Target) -> list[int]:
    """PIDs, as this machine counts, of a container."""
    return [each.host_pid for each in process.in_pid_namespace(target.init)]


def line(pid: int) -> bytes:
    """The command line of a process; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def mounts(target: Target) -> set[str]:
    """What is mounted in a container, without the numbers that the kernel gives."""
    text = Path(f"/proc/{target.init}/mountinfo").read_text()
    return {" ".join(line.split()[3:]) for line in text.splitlines()}


def ended(commands: list[Command]) -> None:
    """What the commands have started has ended by itself."""

    def left() -> list[str]:
        found = [pid for command in commands for pid in command.alive()]
        return [f"{pid} {_comm(pid)}" for pid in found]

    wait_for(lambda: not left(), f"what was started to end: {left()}", _SETTLE_SECONDS)
    for command in commands:
        command.ended()


def settled(ground: Ground) -> None:
    """The next start has tidied up, and containers run or have ended."""
    decided = ("running", "exited")

    def undecided() -> list[str]:
        found = ground.machine.containers.list()
        return [f"{each.name} {each.state}" for each in found if each.state not in decided]

    ground.tidy()  # takes away containers whose shim was killed
    wait_for(lambda: not undecided(), f"containers to be decided: {undecided()}", _SETTLE_SECONDS)


def decided(ground: Ground, container: Container) -> str:
    """What has become of a copy: `restored` or `cold`, in words of its own log; `ended N`."""
    while container.state != "exited":
        try:
            target = ground.target(container.name)
            wait_for(
                lambda target=target: not target.alive() or words.state(target) == "running",  # type: ignore[misc]
                f"{container.name} to be restored or cold; it is {words.state(target)}",
                _SETTLE_SECONDS,
            )
            if target.alive():
                return "running"
        except ChrekError:
            pass  # it ended just now, or is made again
        container = ground.machine.containers.describe(container.name)
    return f"ended {container.status}"


def nothing_left(ground: Ground) -> None:
    """After the next start has tidied up, while containers run."""
    left = [str(path) for path in ground.root.glob("checkpoints/*/*/.*")]
    left += [str(path) for path in ground.root.glob("operations/*.json")]
    scratch = settings.from_environment(ground.root).scratch
    left += [str(path) for path in scratch.glob(f"{settings.mark(ground.root)}-*")]
    if left:
        raise Wrong(f"left behind: {left}")
    if (ground.canary / "bird").read_text() != "sings" or ground.canary_names() != ["bird"]:
        raise Wrong(f"the canary was touched: {ground.canary_names()}")


def nothing_runs(ground: Ground) -> None:
    """After every container was stopped."""
    mark = f"chrek-{settings.mark(ground.root)}-"

    def left() -> list[str]:
        found = [f"process {each}" for each in _processes(ground)]
        for top in cgroups.ROOT.iterdir():
            found += [f"cgroup {path}" for path in top.glob(f"chrek/{mark}*")]
        found += [f"runc {path}" for path in (ground.root / "runc").glob("*")]
        found += [f"container {path}" for path in (ground.root / "containers").glob("*")]
        return found

    wait_for(lambda: not left(), f"all of it to end: {left()}", 20)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if point.startswith(f"{ground.root}/") and point != str(ground.root / "checkpoints"):
            raise Wrong(f"still mounted: {line}")


def nothing_linked(addresses: set[str]) -> None:
    """No link and no lease is left of containers that had these addresses."""
    told = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout
    links = {each["ifname"] for each in json.loads(told)}
    for address in addresses:
        numbers = [int(each) for each in address.split(".")]
        link = f"chrek{numbers[1] << 16 | numbers[2] << 8 | numbers[3]:x}"
        if link in links and not Path(f"/run/chrek/net/{address}.lease").exists():
            raise Wrong(f"link {link} of {address} is left")


def _processes(ground: Ground) -> list[str]:
    """Processes in namespaces that containers had, or that name the root."""
    found = []
    for pid in process.all_pids():
        try:
            links = {str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in NAMESPACES}
            named = line(pid)
        except OSError:
            continue
        if not links.isdisjoint(ground.namespaces) or (
            pid != os.getpid() and os.fsencode(f"{ground.root}") in named
        ):
            found.append(f"{pid} {_comm(pid)} {named[:200]!r}")
    return found


def _comm(pid: int) -> str:
    return process.comm(pid) or "gone"
