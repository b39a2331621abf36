"""Private networks of containers on one machine: one bridge, one veth pair a container.

The bridge exists while a container uses it. Nothing is routed beyond this machine.
"""

import fcntl
import ipaddress
import os
import subprocess
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.kernel import locks
from chrek.errors import MachineError, RuntimeFailedError, UsageError

BRIDGE = "chrek0"
_STATE = Path("/run/chrek/net")
_DEFAULT_SUBNET = "10.213.77.0/24"


@dataclass(frozen=True, slots=True)
class Lease:
    """An address held by a container. `descriptor` carries the lock that keeps it."""

    address: ipaddress.IPv4Interface
    descriptor: int

    @property
    def link(self) -> str:
        """Name of the host's end of the veth pair."""
        return f"chrek{int(self.address.ip) & 0xFFFFFF:x}"

    @property
    def hardware(self) -> str:
        """Always the same for an address: who knew its last holder finds the next one at once."""
        return "02:" + ":".join(f"{byte:02x}" for byte in (0xC7, *self.address.ip.packed))


def subnet() -> ipaddress.IPv4Network:
    """CHREK_SUBNET, or a default that rarely collides."""
    text = os.environ.get("CHREK_SUBNET", _DEFAULT_SUBNET)
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"CHREK_SUBNET={text} is no IPv4 network: {error}") from error


def connect(pid: int) -> Lease:
    """Give the network namespace of `pid` an address; the lease is released by `release`."""
    with _locked():
        lease = _free_address()
        try:
            _make_bridge()
            _make_link(lease, pid)
        except BaseException:
            _forget(lease)
            raise
        return lease


def release(lease: Lease) -> None:
    """Take away the veth pair (its namespace may already have) and an unused bridge."""
    with _locked():
        _quiet("link", "delete", lease.link)
        _forget(lease)
        _remove_idle_bridge()


def tidy() -> None:
    """Take away what processes that were killed left: links and leases without an owner."""
    if not _STATE.is_dir():
        return
    with _locked():
        for file in _STATE.glob("*.lease"):
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            address = ipaddress.IPv4Interface(f"{file.stem}/{subnet().prefixlen}")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            lease = Lease(address, descriptor)
            _quiet("link", "delete", lease.link)
            _forget(lease)
        _remove_idle_bridge()


def _locked() -> AbstractContextManager[None]:
    _STATE.mkdir(parents=True, exist_ok=True)
    return locks.exclusive(_STATE / "lock")


def _free_address() -> Lease:
    network = subnet()
    for host in list(network.hosts())[1:]:
        file = _STATE / f"{host}.lease"
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return Lease(ipaddress.IPv4Interface(f"{host}/{network.prefixlen}"), descriptor)
    raise RuntimeFailedError(f"no address is free in {network}", hint="Stop containers")


def _forget(lease: Lease) -> None:
    (_STATE / f"{lease.address.ip}.lease").unlink(missing_ok=True)
    os.close(lease.descriptor)


def _gateway() -> ipaddress.IPv4Interface:
    network = subnet()
    return ipaddress.IPv4Interface(f"{next(network.hosts())}/{network.prefixlen}")


def _make_bridge() -> None:
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        return
    _ip(f"link add {BRIDGE} type bridge\naddr add {_gateway()} dev {BRIDGE}\nlink set {BRIDGE} up")


def _make_link(lease: Lease, pid: int) -> None:
    _quiet("link", "delete", lease.link)
    _ip(
        f"link add {lease.link} type veth peer name eth0 address {lease.hardware} netns {pid}\n"
        f"link set {lease.link} master {BRIDGE} up"
    )
    # No default route: what leads nowhere fails at once, a name server's answer is not waited for.
    inside = f"link set lo up\naddr add {lease.address} dev eth0\nlink set eth0 up"
    _ip(inside, "nsenter", f"--net=/proc/{pid}/ns/net")


def _remove_idle_bridge() -> None:
    ports = Path(f"/sys/class/net/{BRIDGE}/brif")
    if ports.is_dir() and not any(ports.iterdir()):
        _quiet("link", "delete", BRIDGE)


def _ip(batch: str, *prefix: str) -> None:
    try:
        done = subprocess.run(
            [*prefix, "ip", "-batch", "-"],
            input=batch,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise MachineError(f"{error.filename} is missing", hint="apt install iproute2") from error
    if done.returncode:
        raise RuntimeFailedError(f"the private network could not be made: {done.stderr.strip()}")


def _quiet(*arguments: str) -> None:
    with suppress(FileNotFoundError):
        subprocess.run(["ip", *arguments], capture_output=True, check=False)
