"""The inside process: waits for one request, enters the container, runs CRIU, cleans up, ends.

Started as a file (`python -I -S .../agent/inside/__main__.py FD`), so that neither the
environment nor site-packages have a say in what runs as root.
"""

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

if __name__ == "__main__":
    # -I leaves this file's directory out of the path; three directories up is the packages'.
    sys.path.insert(0, os.path.realpath(__file__).rsplit("/", 3)[0])

from agent.inside import namespaces, wire
from agent.kernel import cgroups, progress

_FAILED = 70
_APPARMOR = 500
"""The bundle's CRIU takes this descriptor, if it is open, for a kernel with AppArmor. By itself it
looks for /sys/kernel/security, which no container has; then it would set no label."""
_NOWHERE = "/" + 300 * "x"
"""Longer than any name can be: nothing is ever found there."""
_STILL_SECONDS, _MORE_SECONDS = 10.0, 5.0
"""A dump whose agent is gone and that does nothing for so long is woken, and then ended."""


class _StepError(Exception):
    """An OSError with the step it happened in."""

    def __init__(self, step: str, error: BaseException) -> None:
        super().__init__(f"{step}: {error}")
        self.step = step
        self.message = str(error)


class _Step:
    """Names the step that an error happened in."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, ValueError)):
            raise _StepError(self.name, error) from error


def _in_namespace(action, *arguments) -> None:  # type: ignore[no-untyped-def]
    """Run `action` in a child, the first that is in the PID namespace just entered."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = _FAILED
        try:
            action(*arguments)
            code = 0
        except ProcessLookupError:
            code = 0  # nothing there to kill
        except OSError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    message = os.read(reader, 4096).decode(errors="replace")
    os.close(reader)
    if status:
        raise OSError(message or f"the child ended with status {status}")


def _become_criu(
    channel: socket.socket, tree: int, named: dict[str, int], request: wire.Request
) -> None:
    """In the child: make the RPC socket, hand its other end to the agent, become CRIU.

    The socket pair is made here because CRIU finds the images through /proc/PEER/fd, PEER being
    whoever made it, as a PID of this namespace: here that is CRIU itself.

    Whatever a path leads to in here can be changed by the container at any moment (also a mount
    point: from another mount namespace it can be renamed). So loader, program and libraries are
    found from the bundle itself, a mount that is attached nowhere, as the working directory.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for name in request["links"]:
        # A task being restored opens it through the link, while CRIU holds the descriptor.
        os.symlink(f"/proc/{os.getpid()}/fd/{named[name]}", name, dir_fd=named["images"])
    for descriptor in (*named.values(), ours.fileno()):
        os.set_inheritable(descriptor, True)
    event: wire.Event = {"event": "criu", "numbers": named, "pid": os.getpid()}
    wire.send(channel, event, [theirs.fileno()])
    # When the agent is killed, CRIU is to get an error from its socket and resume the source,
    # not to die of SIGPIPE while the source is frozen.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2, *([_APPARMOR] if request["labelled"] else [])):
        os.dup2(null, standard)
    # No configuration file, plugin or program of the container may be used by this root process.
    os.setgroups([])  # CRIU leaves its own to a task that had none
    environment = {"PATH": _NOWHERE}
    if request["preload"]:
        environment["LD_PRELOAD"] = request["preload"]
    os.fchdir(tree)
    loader = next(name for name in os.listdir("lib") if name.startswith("ld-linux"))  # noqa: PTH208
    arguments = ["criu", "--library-path", "lib", "bin/criu"]
    arguments += ["--no-default-config", "swrk", str(ours.fileno())]
    os.execve(os.open(f"lib/{loader}", os.O_RDONLY | os.O_CLOEXEC), arguments, environment)


def _start_criu(
    channel: socket.socket, tree: int, named: dict[str, int], request: wire.Request
) -> int:
    child = os.fork()
    if child == 0:
        try:
            _become_criu(channel, tree, named, request)
        except OSError as error:
            failed: wire.Event = {"event": "failed", "step": "start CRIU", "message": str(error)}
            wire.send(channel, failed, [])
        finally:
            os._exit(_FAILED)
    return child


def _await_criu(channel: socket.socket, child: int, proc: int, *, end_with_agent: bool) -> int:
    """Wait for CRIU. When the agent goes away a restore is ended, a dump is let finish.

    A dump that is killed half-way may leave the source with foreign code in it; let alone, CRIU
    sees its socket closed and puts everything back. proc: this machine's /proc.
    """
    pidfd = os.pidfd_open(child)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(channel, 0)  # only the hang-up
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if pidfd in ready:
            break
        poller.unregister(channel)
        if end_with_agent:
            # First what it has made: a task that loses its tracer would run, unchecked.
            with suppress(OSError):
                _in_namespace(namespaces.kill_restored, signal.SIGKILL)
            os.kill(child, signal.SIGKILL)
        else:
            _let_finish(poller, child, proc)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _let_finish(poller: select.poll, child: int, proc: int) -> None:
    """Wait for a dump's end while CRIU gets on. One that hangs (a volume's server is away) would
    hold the source for ever; when CRIU dies, its code in the source puts the source back."""
    since, before, woken = time.monotonic(), progress.of(child, proc), False
    while not poller.poll(1000):
        now = progress.of(child, proc)
        if now != before:
            since, before, woken = time.monotonic(), now, False
        still_seconds = time.monotonic() - since
        if still_seconds > _STILL_SECONDS + _MORE_SECONDS:
            os.kill(child, signal.SIGKILL)
            return
        if still_seconds > _STILL_SECONDS and not woken:
            os.kill(child, signal.SIGCONT)
            woken = True


def _outlive_the_agent() -> None:
    """A dump that is killed half-way may end its source. So what ends the agent's container with
    all that is in its cgroups does not end CRIU, and a kernel that is short of memory takes
    others first. As far as the machine lets it."""
    cgroups.leave()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("-1000")


def _serve(channel: socket.socket, request: wire.Request, descriptors: list[int]) -> wire.Event:
    named = dict(zip(request["descriptors"], descriptors, strict=True))
    pidfd = named.pop("pidfd")
    restoring = request["task"] == "restore"
    with _Step("check the container"):
        paths = namespaces.checked_cgroups(pidfd, request["container"])
        join = cgroups.open_procs(paths) if restoring else []
    if not restoring:
        _outlive_the_agent()
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with _Step("enter the container"):
        namespaces.enter(pidfd, join)
    if request["task"] == "dump":
        with _Step("look for System V IPC"):
            objects = namespaces.system_v(proc)
        if objects:
            return {"event": "refused", "message": objects}
    tree = named.pop("bundle")
    if restoring:
        with _Step("reserve PIDs"):
            _in_namespace(namespaces.raise_last_pid, request["last_pid"])
    with _Step("start CRIU"):
        child = _start_criu(channel, tree, named, request)
    for descriptor in named.values():
        os.close(descriptor)
    status = _await_criu(channel, child, proc, end_with_agent=restoring)
    if restoring and status:
        with _Step("remove a half-restored tree"):
            _in_namespace(namespaces.kill_restored, signal.SIGKILL)
    return {"event": "ended", "status": status}


def main() -> int:
    """Serve one request from the socket whose number is the only argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    received = wire.receive(channel)
    if received is None:
        return 0  # the agent did not need us
    request, descriptors = received
    try:
        event = _serve(channel, request, descriptors)  # type: ignore[arg-type]
    except _StepError as error:
        event = {"event": "failed", "step": error.step, "message": error.message}
    try:
        wire.send(channel, event, [])
    except OSError:
        return 1  # the agent is gone; what is to be undone is undone
    return 0


if __name__ == "__main__":
    sys.exit(main())
