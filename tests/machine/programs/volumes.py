"""Holds files of its volumes: open, mapped, watched; says what it sees of them when asked."""

import ctypes
import json
import mmap
import os
import struct
import time

IN_ALL = 0xFFF
libc = ctypes.CDLL(None, use_errno=True)


def watch(path):
    found = libc.inotify_add_watch(notify, path.encode(), IN_ALL)
    assert found > 0, path
    return found


def heard():
    """Names of the events since the last time, by watch."""
    events = []
    try:
        content = os.read(notify, 65536)
    except BlockingIOError:
        return events
    while content:
        number, mask, _, size = struct.unpack_from("iIII", content)
        name = content[16 : 16 + size].rstrip(b"\0").decode()
        events.append([watches[number], mask, name])
        content = content[16 + size :]
    return events


config = os.open("/etc/config/settings.ini", os.O_RDONLY)
nested = os.open("/etc/config/more/deep.txt", os.O_RDONLY)
secret = os.open("/etc/secret/password", os.O_RDONLY)
hosts = os.open("/etc/hosts", os.O_RDONLY)
ended = os.open("/dev/termination-log", os.O_WRONLY)
directory = os.open("/etc/config/..data/", os.O_RDONLY | os.O_DIRECTORY)
mapped = mmap.mmap(config, 0, prot=mmap.PROT_READ)
os.chdir("/etc/config/..data/more")
notify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
paths = ("/etc/config", "/etc/config/settings.ini", "/etc/secret", "/etc/secret/password")
watches = {watch(path): path for path in paths}
log = open("/cache/app.log", "a", buffering=1)
os.makedirs("/cache/app/parts", exist_ok=True)
open("/cache/app/index", "w").write("written by the app")
open("/memory/app-state", "w").write("in memory")
log.write("started\n")
os.write(ended, b"nothing wrong")
print("ready", flush=True)
while True:
    if os.path.exists("/tmp/ask"):
        os.remove("/tmp/ask")
        told = {
            "config": os.pread(config, 4096, 0).decode(),
            "config path": os.readlink(f"/proc/self/fd/{config}"),
            "nested": os.pread(nested, 4096, 0).decode(),
            "secret": os.pread(secret, 4096, 0).decode(),
            "hosts": os.pread(hosts, 4096, 0).decode(),
            "directory": sorted(os.listdir(directory)),
            "mapped": mapped[:].decode(),
            "cwd": os.readlink("/proc/self/cwd"),
            "heard": heard(),
        }
        log.write("asked\n")
        open("/tmp/answer.new", "w").write(json.dumps(told))
        os.rename("/tmp/answer.new", "/tmp/answer")
    time.sleep(0.02)
