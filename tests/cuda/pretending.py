"""A helper whose driver is not there: it works on processes of programs/pretender.c.

Run as `python -m tests.cuda.pretending FD`, as the real one is. What it shall do wrong is in the
file that PRETENDING names: JSON, call -> "hang", "die" or the name of a CUresult.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from agent.cuda.driver import State
from agent.cuda.helper import serving
from agent.cuda.helper.model import GPU, Inventory, Usage
from agent.cuda.helper.wire import Request

UUIDS = [f"GPU-00000000-0000-0000-0000-00000000000{number}" for number in range(2)]
_STATES = [State.RUNNING, State.LOCKED, State.CHECKPOINTED]
_SECONDS = 5.0


class _IOVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)


def thread_of(pid: int) -> int:
    """The restore thread; raises as the driver would."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        comm = (task / "comm").read_text().strip()
        if len(comm) >= 6 and all(each in "0123456789abcdef" for each in comm):
            return int(task.name)
    raise RuntimeError("CUDA_ERROR_NOT_INITIALIZED")


def _shared(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{thread_of(pid)}/comm").read_text(), 16)


def _read(pid: int) -> tuple[int, int]:
    content = ctypes.create_string_buffer(8)
    ours, theirs = _IOVec(ctypes.addressof(content), 8), _IOVec(_shared(pid), 8)
    if _libc.process_vm_readv(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) != 8:
        raise RuntimeError("CUDA_ERROR_INVALID_VALUE")
    return struct.unpack("ii", content.raw)


def state(pid: int) -> str:
    return _STATES[_read(pid)[0]].value


def _move(pid: int, before: State, after: State) -> None:
    if state(pid) != before.value:
        raise RuntimeError("CUDA_ERROR_ILLEGAL_STATE")
    asked = ctypes.c_int(_STATES.index(after))
    ours = _IOVec(ctypes.addressof(asked), 4)
    theirs = _IOVec(_shared(pid) + 4, 4)
    _libc.process_vm_writev(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    deadline = time.monotonic() + _SECONDS
    while _read(pid) != (_STATES.index(after), -1):
        if time.monotonic() > deadline:
            raise RuntimeError("CUDA_ERROR_TIMEOUT")  # nobody works in there
        time.sleep(0.001)


def inventory() -> Inventory:
    """Two GPUs; what PRETENDING says of them in "inventory" takes the place of a member."""
    said = _wrongs().get("inventory", {})
    users = [Usage(int(pid), used) for pid, used in said.pop("processes", {}).items()]
    first: dict[str, Any] = {"mig": False, "vgpu": False, "product": "Pretended"}
    first |= {"memory_bytes": 80 << 30, "free_bytes": 80 << 30}
    driver = said.pop("driver", "580.0")
    return Inventory(
        driver=driver,
        cuda=13000,
        gpus=[
            GPU(uuid=uuid, minor=n, processes=[] if n else users, **(first | said))
            for n, uuid in enumerate(UUIDS)
        ],
    )


def _wrongs() -> dict[str, Any]:
    path = os.environ.get("PRETENDING", "")
    return json.loads(Path(path).read_text()) if path and Path(path).exists() else {}


def _made(call: str, work: Any) -> Any:
    def make(asked: Request) -> Any:
        wrong = _wrongs().get(call)
        if wrong == "hang":
            time.sleep(3600)
        if wrong == "die":
            os._exit(1)
        if wrong and call != "inventory":
            raise RuntimeError(wrong)
        return work(asked)

    return make


CALLS: serving.Calls = {
    call: _made(call, work)
    for call, work in {
        "inventory": lambda _: inventory(),
        "warm": lambda _: True,
        "state": lambda asked: state(asked.pid),
        "restore_thread": lambda asked: thread_of(asked.pid),
        "lock": lambda asked: _move(asked.pid, State.RUNNING, State.LOCKED),
        "checkpoint": lambda asked: _move(asked.pid, State.LOCKED, State.CHECKPOINTED),
        "restore": lambda asked: _move(asked.pid, State.CHECKPOINTED, State.LOCKED),
        "unlock": lambda asked: _move(asked.pid, State.LOCKED, State.RUNNING),
    }.items()
}

if __name__ == "__main__":
    serving.serve(socket.socket(fileno=int(sys.argv[1])), CALLS)
    os._exit(0)
