"""PID 1 of the node: makes its mounts, then adopts and reaps what is left to it.

    unshare --mount --net --uts --ipc --pid --fork --propagation slave python init.py STATE NAME

The node is a set of namespaces in which the host's files are seen, but for a few
directories: what a kubelet, a runtime and CNI plugins write goes to where they write on
every node, and never into the host's directory of that name. It ends as a whole with this
process. Imports nothing of the package, so that it is small.
"""

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

MS_BIND, MS_REC, MS_SLAVE, MS_SHARED = 1 << 12, 1 << 14, 1 << 19, 1 << 20
OVERLAID = ("/etc", "/opt", "/var/lib", "/var/log")
# On a real file system, which an overlay cannot stack on.
PERSISTENT = {
    "kubelet": "/var/lib/kubelet",
    "containerd": "/var/lib/containerd",
    "logs/pods": "/var/log/pods",
}
# A kubelet sets these, and they are the whole machine's: it finds them set.
TUNED = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    state, name = Path(sys.argv[1]), sys.argv[2]
    host_pid = str(Path("/proc/self").readlink())  # the host's /proc still
    signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.Signals))
    make_mounts(state)
    socket.sethostname(name)
    announce(state / "node.pid", host_pid)
    while True:
        signal.sigwait({signal.SIGCHLD})
        reap()


def make_mounts(state: Path) -> None:
    """All in a mount namespace whose mounts go nowhere else; what the host unmounts goes."""
    mount("none", "/", flags=MS_REC | MS_SLAVE)
    scratch = state / "scratch"
    scratch.mkdir(exist_ok=True)
    state_here = hold(state)  # both are below what is overlaid
    mount("tmpfs", scratch, "tmpfs", data="mode=755")
    scratch_here = hold(scratch)
    for part in OVERLAID:
        overlay(part, scratch_here / part.strip("/").replace("/", "-"))
    state.mkdir(parents=True, exist_ok=True)
    mount(state_here, state, flags=MS_BIND)
    for part, path in PERSISTENT.items():
        bind(state / part, Path(path))

    cgroups_here = hold(Path("/sys/fs/cgroup"))
    mount("sysfs", "/sys", "sysfs")  # of this network namespace
    mount(cgroups_here, "/sys/fs/cgroup", flags=MS_BIND | MS_REC)
    for name, value in TUNED.items():
        (scratch_here / name.replace("/", "-")).write_text(f"{value}\n")
    mount("proc", "/proc", "proc")  # of this PID namespace
    for name in TUNED:
        mount(scratch_here / name.replace("/", "-"), f"/proc/sys/{name}", flags=MS_BIND)
    mount("tmpfs", "/run", "tmpfs", data="mode=755")
    os.closerange(3, 1024)  # what was held
    mount("none", "/", flags=MS_REC | MS_SHARED)  # as on every node: pods may ask for propagation


def hold(path: Path) -> Path:
    """A path to the same directory that stays when something is mounted over it."""
    return Path(f"/proc/self/fd/{os.open(path, os.O_PATH)}")


def overlay(lower: str, scratch: Path) -> None:
    upper, work = scratch / "upper", scratch / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    mount("overlay", lower, "overlay", data=f"lowerdir={lower},upperdir={upper},workdir={work}")


def bind(source: Path, target: Path) -> None:
    source.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    mount(source, target, flags=MS_BIND)


def mount(
    source: Path | str, target: Path | str, kind: str = "", flags: int = 0, data: str = ""
) -> None:
    arguments = (str(source).encode(), str(target).encode(), kind.encode() or None)
    if _libc.mount(*arguments, flags, data.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def announce(path: Path, host_pid: str) -> None:
    partial = path.with_suffix(".new")
    partial.write_text(host_pid)
    partial.rename(path)


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main()
