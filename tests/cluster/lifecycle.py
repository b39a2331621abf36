"""Up and down: what is well is left alone, what died is started, what is damaged is made anew."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from . import cgroups, configuration, link, loading, locks, needs, objects, supervision
from . import node as nodes
from .errors import ClusterError
from .layout import CONFIGURATION, FOR_TESTS, LOGS, STATE, VOLUMES
from .node import Node
from .programs import Program, all_programs


def up(say: Callable[[str], None], for_tests: bool = False) -> None:
    """Have a cluster that works. One that is there `for_tests` only ends with the last of them."""
    needs.refuse_what_lacks()
    with locks.changing():
        node = nodes.find()
        if not for_tests:
            FOR_TESTS.unlink(missing_ok=True)
        if node and configuration.is_current() and link.exists():
            try:
                _start_all(node, say)
            except ClusterError as error:
                say(f"made anew, as it is damaged: {error}")
            else:
                return
        with locks.once_unused(say):
            _remove()
        shutil.rmtree(LOGS, ignore_errors=True)
        for folder in (LOGS, VOLUMES):
            folder.mkdir(parents=True)
        cgroups.make()
        node = nodes.start()
        link.make(node)
        configuration.write()
        if for_tests:
            FOR_TESTS.touch()
        _start_all(node, say)


@contextmanager
def up_for_tests(shared: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Have a cluster that stays up meanwhile, unless `shared` to oneself."""
    there = False
    while not there:
        up(say, for_tests=True)
        with locks.using(shared, say) as there:
            if there:
                yield


def down_after_tests() -> None:
    """End a cluster that test runs started and none uses any more."""
    if FOR_TESTS.exists():
        with locks.changing(), locks.unused() as free:
            if FOR_TESTS.exists() and free:
                _remove()


def down(force: bool = False) -> bool:
    """End and remove everything but the logs; whether there was something."""
    if not STATE.exists():
        return False
    with locks.changing(), locks.unused() as free:
        was_up = nodes.find() is not None
        if was_up and not force and not free:
            raise ClusterError("a test run uses it: wait for its end, or `down --force`")
        _remove()
    return was_up


def status() -> dict[str, str]:
    """Each part, and how it is."""
    node = nodes.find()
    if not node:
        return {"node": "down"}
    parts = {"node": f"up, PID {node.pid}"}
    for program in all_programs():
        pid = supervision.pid_on_node(node, program)
        well = "well" if supervision.is_well(node, program) else "not well"
        parts[program.name] = f"{well}, PID {pid} on the node" if pid else "ended"
    return parts


def _start_all(node: Node, say: Callable[[str], None]) -> None:
    network = node.root / "etc/cni/net.d"
    network.mkdir(parents=True, exist_ok=True)
    (network / "10-chrek.conflist").write_text((CONFIGURATION / "cni.conflist").read_text())
    runtime, *others = all_programs()
    started = [runtime.name] if _start(node, runtime) else []
    supervision.wait_until_well(node, runtime)
    with ThreadPoolExecutor(1) as beside:
        loaded = beside.submit(loading.load, node)
        started += [program.name for program in others if _start(node, program)]
        for program in others:
            supervision.wait_until_well(node, program)
        if started:
            say(f"started {', '.join(started)}")
        objects.apply()
        for name in loaded.result():
            say(f"loaded {name}")
    objects.wait_until_usable()


def _start(node: Node, program: Program) -> bool:
    """Start it unless it is well and current. What comes after the API server needs it at once."""
    if supervision.is_current(node, program) and supervision.is_well_soon(node, program):
        return False
    supervision.end(node, program)
    supervision.start(node, program)
    if program.name == "kube-apiserver":
        supervision.wait_until_well(node, program)
    return True


def _remove() -> None:
    nodes.stop()
    link.remove()
    cgroups.remove()
    nodes.remove_state()
