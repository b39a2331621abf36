"""One round: prepare, operate while a fault strikes, settle, look at everything."""

import asyncio
import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from agent.engine.capture import Capture, capture
from agent.engine.restore import Choices, restore
from agent.runtime.target import Target
from chrek.errors import ChrekError
from chrek.runspec import RunSpec
from tests.chaos import checks, disks, hostile, pids
from tests.chaos.faults import EXIT, Fault
from tests.chaos.ground import ID, Command, Ground, Wrong, wait_for
from tests.chaos.plan import Round

_KILLED = 137
_TRIES = 6
_COLD = 4
_BREAKING = ("io-error", "read-only")
_ENDS = {_KILLED, 143, 0, EXIT}
_COUNT = 3


@dataclass
class Play:
    """What has become of a round. token: the source's. commands: all that were run."""

    asked: Round
    ground: Ground
    fault: Fault
    commands: list[Command] = field(default_factory=list)
    spec: RunSpec | None = None
    source: Target | None = None
    token: str = ""
    mounts: set[str] = field(default_factory=set)
    gap_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    damaged: bool = False
    lost: bool = False


def play(asked: Round, ground: Ground) -> Play:
    """Raises Wrong with what must not be."""
    claim = ground.root / "checkpoints"
    made = Play(asked, ground, Fault(asked, ground, claim))
    with ExitStack() as stack:
        try:
            made.source = ground.source(asked.program, private=asked.private)
            # Only now: a container's shim sees what was mounted when it began.
            if asked.fault == "disk-full":
                stack.enter_context(disks.small(claim, 256 << 20))
            elif asked.fault in _BREAKING:
                stack.enter_context(disks.disk(claim))
            _prepare(made)
            code = _operate(made, claim)
            _settle(made, claim)
            _look(made, code)
            if asked.fault in _BREAKING and made.fault.struck:
                _mend(made, claim)
            checks.nothing_left(ground)
            if not made.damaged:
                ground.verify()
            if asked.again and not made.damaged:
                _again(made)
        except Wrong as error:
            said = " | ".join(f"`{each}`: {each.error}" for each in made.commands)
            raise Wrong(f"{error}; {'; '.join(made.notes)}; {said}") from error
        finally:
            _keep_addresses(made)
            ground.stop_all()
            made.fault.cgroup.remove()
        checks.nothing_runs(ground)
        checks.nothing_linked(made.addresses)
    return made


def _keep_addresses(made: Play) -> None:
    found = made.ground.machine.containers.list()
    made.addresses |= {each.address for each in found if each.address}


def _prepare(made: Play) -> None:
    asked, ground = made.asked, made.ground
    assert made.source is not None
    made.spec = made.source.spec
    made.token = checks.serves(made.source)["token"]
    made.mounts = checks.mounts(made.source)
    if asked.operation != "capture":
        machine = ground.machine
        for left in reversed(range(_TRIES)):
            try:
                asyncio.run(
                    capture(Capture(made.source, ID), store=machine.store, means=machine.means())
                )
                break
            except ChrekError as error:
                if not left or asked.program != "restless":
                    raise Wrong(f"could not be captured: {error}") from error
        ground.verify()


def _operate(made: Play, claim: Path) -> int:
    """The exit code of the round's command, with its fault."""
    asked, fault, ground = made.asked, made.fault, made.ground
    draw = random.Random(asked.seed + 1)
    prefix: tuple[str, ...] = ()
    assert made.source is not None
    if asked.fault == "disk-full":
        disks.shrink(claim, draw.uniform(0.0, 1.3))
        fault.struck = True
    if asked.fault == "file-size":
        prefix = ("prlimit", f"--fsize={int(10 ** draw.uniform(2.5, 7))}", "--")
        fault.struck = True
    if asked.fault == "kill-container":
        prefix = fault.cgroup.joined()
    if asked.fault == "scratch-full":
        size = int(10 ** draw.uniform(3.7, 5.7))
        mount = f"mount -t tmpfs -o size={size} chaos /run/chrek/scratch"
        prefix = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
        Path("/run/chrek/scratch").mkdir(parents=True, exist_ok=True)
        fault.struck = True
    if asked.fault == "damaged":
        (path,) = ground.published()
        made.notes.append(hostile.damage(path, draw))
        fault.struck = made.damaged = True
    if asked.fault in ("pid-taken", "hostile-root", "proc-covered"):
        fault.struck = True
        if asked.operation == "restore":
            return _restored_here(made, draw)
        _harm(made, made.source, draw)
    command = ground.command(*_arguments(made), prefix=prefix)
    made.commands.append(command)
    if asked.fault == "restored-meanwhile":
        fault.others.append(ground.command("restore", ID, "--name", "copy", "--json"))
        fault.struck = True
    fault.strike(command)
    code = command.ended()
    made.commands += fault.others
    if fault.told:
        made.notes.append(fault.told)
    made.damaged |= asked.fault == "damaged-meanwhile" and fault.struck
    return code


def _arguments(made: Play) -> tuple[str, ...]:
    return {
        "capture": ("checkpoint", "source", "--as", ID),
        "replace": ("checkpoint", "source", "--as", ID, "--replace"),
        "restore": ("restore", ID, "--name", "copy", "--json"),
        "restores": ("restore", ID, "--name", "copy", "--count", str(_COUNT), "--json"),
        "rm": ("rm", ID),
    }[made.asked.operation]


def _harm(made: Play, target: Target, draw: random.Random) -> None:
    if made.asked.fault == "proc-covered":
        hostile.cover_proc(target.init)
    elif made.asked.fault == "hostile-root":
        made.notes.append(hostile.container(target.root, draw))
    else:
        (path,) = made.ground.published()
        made.notes.append(pids.take(target, path, made.ground.machine.keys()))


def _restored_here(made: Play, draw: random.Random) -> int:
    """A restore in this process, into a placeholder that was tampered with."""
    ground, machine = made.ground, made.ground.machine
    assert made.spec is not None
    target = ground.placeholder("copy", made.spec)
    _harm(made, target, draw)
    (path,) = ground.published()
    choices = Choices(machine.settings.namespace)
    try:
        asyncio.run(
            asyncio.wait_for(restore(target, path, means=machine.means(), choices=choices), 90)
        )
    except ChrekError as error:
        made.notes.append(f"{error.reason}: {error}")
        return _COLD
    return 0


def _settle(made: Play, claim: Path) -> None:
    _keep_addresses(made)
    checks.ended(made.commands)
    if made.asked.fault == "disk-full":
        disks.shrink(claim, 20)
    checks.settled(made.ground)


def _mend(made: Play, claim: Path) -> None:
    """The disk is whole again, and the next start tidies up on it."""
    for container in made.ground.machine.containers.list():
        if container.name != "source":
            made.ground.stop(container.name)
    if disks.mend(claim):
        made.ground.tidy()
    else:
        made.notes.append("the broken disk is held by others of this machine: not looked at again")
        made.damaged = True


def _look(made: Play, code: int) -> None:
    asked, fault = made.asked, made.fault
    for command in made.commands:
        if "Traceback" in "".join(command.said) or "chrek: failed" in "".join(command.said):
            raise Wrong(f"`{command}` failed without a name: {''.join(command.said)[-1500:]}")
    dies = asked.fault == "kill-criu" and asked.operation in ("capture", "replace")
    try:
        _source(made)
    except Wrong as error:
        if not dies:
            raise
        # docs/limits.md: for moments a source needs the CRIU that is at work in it.
        made.notes.append(f"THE SOURCE IS LOST: {error}")
        made.lost = True
    restless = asked.program == "restless" and asked.operation in ("capture", "replace")
    if code != 0 and not fault.struck and not restless:
        raise Wrong(f"gave {code} with no fault")
    made.notes.append(f"exit {code}" + ("" if fault.struck else ", fault missed"))
    copies = [
        each for each in made.ground.machine.containers.list() if each.name.startswith("copy")
    ]
    became: dict[str, str] = {}
    for each in copies:
        became[each.name] = _copy(made, each)
    if became:
        made.notes.append(", ".join(f"{name} {what}" for name, what in became.items()))
    if asked.operation in ("restore", "restores") and code == 0:
        silent = [name for name, what in became.items() if what == "cold" and name not in fault.hit]
        if silent:
            raise Wrong(f"said to be restored, but cold: {silent}")
        expected = _COUNT if asked.operation == "restores" else 1
        if len(became) != expected and not fault.hit:
            raise Wrong(f"{len(became)} of {expected} copies are there")


def _copy(made: Play, container: object) -> str:
    ground, fault = made.ground, made.fault
    name = container.name  # type: ignore[attr-defined]
    what = checks.decided(ground, container)  # type: ignore[arg-type]
    if what != "running":
        if name not in fault.hit:
            raise Wrong(f"{name} {what}, and nobody ended it: {ground.log(name)[-300:]}")
        if int(what.split()[1]) not in _ENDS:
            raise Wrong(f"{name} {what}: {ground.log(name)[-300:]}")
        return what
    target = ground.target(name)
    ground.note(target.init)
    wait_for((target.root / "tmp/token").exists, f"{name} to have begun")
    if name in fault.hit:
        return "hit, runs"
    told = checks.serves(target)
    return "restored" if told["token"] == made.token else "cold"


def _source(made: Play) -> None:
    asked, fault, ground = made.asked, made.fault, made.ground
    if "source" not in fault.hit:
        assert made.source is not None
        if not made.source.alive():
            raise Wrong(f"the source has ended: {ground.log('source')[-300:]}")
        told = checks.serves(made.source)
        if told["token"] != made.token:
            raise Wrong("the source is another")
        made.gap_seconds = told["gap"]
        mounts = checks.mounts(made.source)
        if asked.fault != "proc-covered" and mounts != made.mounts:
            raise Wrong(f"other mounts in the source: {sorted(mounts ^ made.mounts)}")
        return
    if asked.fault == "app-killed" and made.source is not None and made.source.alive():
        return  # it was one of its children
    found = ground.machine.containers
    wait_for(lambda: found.describe("source").state == "exited", "the source to end")
    wanted = EXIT if asked.fault == "app-exits" else _KILLED
    status = found.describe("source").status
    if status != wanted and not (asked.fault == "app-killed" and status == 1):
        raise Wrong(f"the source ended with {status}, not {wanted}")


def _again(made: Play) -> None:
    """What was to be done works now, on what is left."""
    ground = made.ground
    if made.lost or made.source is None or not made.source.alive() or "source" in made.fault.hit:
        return
    if made.asked.fault in ("proc-covered", "hostile-root", "file-size"):
        return
    for left in reversed(range(_TRIES)):
        command = ground.command("checkpoint", "source", "--as", "again")
        made.commands.append(command)
        if command.ended() == 0:
            break
        if not left or made.asked.program != "restless":
            raise Wrong(f"a second capture failed: {command.error}")
    ground.done("restore", "again", "--name", "later")
    later = ground.target("later")
    ground.note(later.init)
    if checks.serves(later)["token"] != made.token:
        raise Wrong("the second restore is cold")
    _keep_addresses(made)
    ground.done("rm", "again")
    if ground.canary_names() != ["bird"]:
        raise Wrong("the canary was touched")
