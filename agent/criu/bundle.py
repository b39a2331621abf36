"""The CRIU bundle: where it is, what is in it, and pycriu out of it."""

import importlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chrek.errors import MachineError


@dataclass(frozen=True, slots=True)
class Bundle:
    """A built bundle. versions: Debian package -> version, CRIU first."""

    path: Path
    versions: dict[str, str]

    @property
    def criu_version(self) -> str:
        """CRIU's upstream version, such as 4.2.1."""
        return self.versions["criu"].split("-")[0].partition("+")[0]

    def command(self) -> list[str]:
        """argv that runs CRIU here, outside of any container."""
        loader = next((self.path / "lib").glob("ld-linux-*"))
        library = str(self.path / "lib")
        return [str(loader), "--library-path", library, str(self.path / "bin" / "criu")]


def default_path() -> Path:
    """CHREK_CRIU_BUNDLE, or where `make` builds it: ${XDG_CACHE_HOME:-~/.cache}/chrek/criu."""
    named = os.environ.get("CHREK_CRIU_BUNDLE")
    if named:
        return Path(named)
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache_home) / "chrek" / "criu" / "bundle"


def find(path: Path | None = None) -> Bundle:
    """The bundle at `path` or at its default place; raises MachineError with the cure."""
    place = path or default_path()
    try:
        lines = (place / "VERSIONS").read_text().splitlines()
    except OSError as error:
        raise MachineError(
            f"no CRIU bundle at {place}", hint="Run `make bundle`, or set CHREK_CRIU_BUNDLE"
        ) from error
    versions = dict(line.split(maxsplit=1) for line in lines if line.strip())
    if "criu" not in versions:
        raise MachineError(f"the CRIU bundle at {place} names no criu", hint="Run `make bundle`")
    return Bundle(path=place, versions=versions)


@cache
def messages(place: Path, name: str) -> Any:
    """A module of pycriu's generated messages, such as `rpc_pb2` or `fdinfo_pb2`.

    Loaded one by one: `import pycriu` loads sixty of them and takes longer than a restore may.
    """
    directories = [str(place / "python" / "pycriu"), str(place / "python" / "pycriu" / "images")]
    sys.path[:0] = directories
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(
            f"{name} of the CRIU bundle does not load: {error}", hint="Run `make bundle`"
        ) from error
    finally:
        for directory in directories:
            sys.path.remove(directory)


def rpc_messages(bundle: Bundle) -> Any:
    """The generated module of CRIU's rpc.proto."""
    return messages(bundle.path, "rpc_pb2")
