"""Namespaces in CRIU's images: a restored tree stays in those of the container. Pure."""

from agent.trust.decoded import Decoded
from chrek.errors import DamagedError, ExceedsError

_CLOCKS = "time_ns_id"
_KINDS = {
    "pid_ns_id": "PID",
    "net_ns_id": "network",
    "ipc_ns_id": "IPC",
    "uts_ns_id": "UTS",
    "mnt_ns_id": "mount",
    "user_ns_id": "user",
    "cgroup_ns_id": "cgroup",
}


def same_namespaces(decoded: Decoded, pids: list[int]) -> int:
    """Raise ExceedsError unless all tasks are in the namespaces that CRIU itself was in, which
    were the source's and will be the placeholder's. The number of their clocks' image.

    Clocks alone are another matter: CRIU makes a time namespace so that they do not jump, and a
    tree that was restored once has one of its own. It gives no rights.
    """
    own = decoded.only("inventory.img")
    if not own.HasField("root_ids"):
        raise DamagedError("inventory.img of the checkpoint does not name CRIU's own namespaces")
    root = decoded.only(f"ids-{pids[0]}.img") if pids else own.root_ids
    for pid in pids:
        task = decoded.only(f"ids-{pid}.img")
        for field, kind in _KINDS.items():
            if _number(task, field) != _number(own.root_ids, field):
                raise ExceedsError(f"PID {pid} would be in a {kind} namespace of its own")
        if _number(task, _CLOCKS) != _number(root, _CLOCKS):
            raise ExceedsError(f"PID {pid} would be in a time namespace of its own")
    moved = _number(root, _CLOCKS) != _number(own.root_ids, _CLOCKS)
    return _number(root, _CLOCKS) if moved else 0


def _number(ids: object, field: str) -> int:
    """0, which is no namespace's, where an older kernel has none of the kind."""
    number: int = getattr(ids, field)
    return number
