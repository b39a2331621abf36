"""Labels of security modules (AppArmor, SELinux): what a process has, and whether CRIU can give
it to another one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chrek.errors import ExceedsError

UNCONFINED: Final = "unconfined"


@dataclass(frozen=True, slots=True)
class Label:
    """text: empty where no module labels processes. apparmor: whose label it is."""

    text: str
    apparmor: bool = False


def of(pid: int | str) -> Label:
    """The label of a process; raises FileNotFoundError, ProcessLookupError when it is gone."""
    base = Path(f"/proc/{pid}/attr")
    text = _read(base / "apparmor/current")  # Linux 5.8
    if text is not None:
        return Label(_profile(text), apparmor=True)
    text = _read(base / "current")
    if text is None:
        (base.parent / "stat").stat()  # gone, or no module
        return Label("")
    # AppArmor's older place: its labels have a mode or are unconfined, SELinux' have colons.
    apparmor = text == UNCONFINED or text.endswith(")")
    return Label(_profile(text) if apparmor else text, apparmor)


def given(container: Label, own: Label) -> Label | None:
    """What CRIU is to set on every task so that it has the container's label; None where it has
    it anyway. Raises ExceedsError where CRIU cannot."""
    if container == own or container.text in ("", UNCONFINED):
        return None
    if container.apparmor:
        return container
    raise ExceedsError(
        f"the container has the label {container.text}, which this CRIU cannot give to a process",
        hint="docs/trust.md names the security modules that can be used",
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").rstrip("\0\n") or None
    except FileNotFoundError:
        return None
    except OSError:
        return None  # EINVAL: no module answers


def _profile(text: str) -> str:
    """`name (enforce)` without its mode."""
    return text.rpartition(" (")[0] if text.endswith(")") else text
