"""RunSpec -> OCI runtime configuration (opencontainers/runtime-spec v1.0)."""

from pathlib import Path
from typing import Any

from agent.runtime.runc import gpus
from chrek.names import CHREK_DIR
from chrek.runspec import RunSpec, Volume

# The set that Docker and containerd give to a container that asks for nothing.
_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

_MOUNTS: tuple[dict[str, Any], ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {
        "destination": "/dev/shm",  # noqa: S108
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777"],
    },
    {
        "destination": "/dev/mqueue",
        "type": "mqueue",
        "source": "mqueue",
        "options": ["nosuid", "noexec", "nodev"],
    },
    {
        "destination": "/run",
        "type": "tmpfs",
        "source": "run",
        "options": ["nosuid", "nodev", "mode=755"],
    },
    {
        "destination": "/tmp",  # noqa: S108
        "type": "tmpfs",
        "source": "tmp",
        "options": ["nosuid", "nodev", "mode=1777"],
    },
)
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/firmware",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def sees(path: Path, volumes: list[Volume]) -> bool:
    """Whether a container sees what this machine has at `path`: it is on the root file system,
    below no mount of the container's own, or in a volume."""
    if any(path.is_relative_to(volume.target) for volume in volumes):
        return True
    if any(path.is_relative_to(mount["destination"]) for mount in _MOUNTS):
        return False
    return path.stat().st_dev == Path("/").stat().st_dev


def configuration(
    spec: RunSpec, *, argv: list[str], hostname: str, cgroup: str, chrek_dir: str, hosts: str
) -> dict[str, Any]:
    """The config.json of one container. chrek_dir, hosts: the directory and the file of this
    machine that become its /chrek and /etc/hosts."""
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    if spec.network == "private":
        namespaces.append({"type": "network"})
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        "cgroupsPath": cgroup,
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
    }
    if spec.memory_bytes:
        linux["resources"] = {"memory": {"limit": spec.memory_bytes}}
    if spec.seccomp is not None:
        linux["seccomp"] = spec.seccomp
    directories: list[str] = []
    if spec.gpus:
        attached = gpus.attached(spec.gpus)
        linux["devices"] = attached.devices
        linux.setdefault("resources", {})["devices"] = attached.rules
        directories = attached.directories
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": spec.read_only},
        "hostname": hostname,
        "process": _process(spec, argv),
        "mounts": [
            *_MOUNTS,
            _sys(spec),
            _bind(hosts, "/etc/hosts", "rw"),
            _bind(chrek_dir, CHREK_DIR, "rw"),
            *(_bind(directory, directory, "ro") for directory in directories),
            *_volumes(spec),
        ],
        "linux": linux,
    }


def _process(spec: RunSpec, argv: list[str]) -> dict[str, Any]:
    dropped = set(spec.drop_capabilities)
    kept = [] if "ALL" in dropped else [name for name in _CAPABILITIES if name not in dropped]
    held = kept if spec.uid == 0 else []
    return {
        "terminal": False,
        "user": {"uid": spec.uid, "gid": spec.gid},
        "args": argv,
        "env": [f"{name}={value}" for name, value in spec.env.items()],
        "cwd": spec.cwd,
        "noNewPrivileges": spec.no_new_privileges,
        "capabilities": {"bounding": kept, "effective": held, "permitted": held},
    }


def _sys(spec: RunSpec) -> dict[str, Any]:
    # The kernel allows a new sysfs only to whoever owns the network namespace it shows.
    options = ["nosuid", "noexec", "nodev", "ro"]
    if spec.network == "private":
        return {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options}
    return {
        "destination": "/sys",
        "type": "none",
        "source": "/sys",
        "options": ["rbind", *options],
    }


def _bind(source: str, target: str, mode: str) -> dict[str, Any]:
    return {
        "destination": target,
        "type": "none",
        "source": source,
        "options": ["rbind", "rprivate", mode],
    }


def _volumes(spec: RunSpec) -> list[dict[str, Any]]:
    return [
        _bind(volume.source, volume.target, "ro" if volume.read_only else "rw")
        for volume in spec.volumes
    ]
