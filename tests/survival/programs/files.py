"""Writes files of every kind, keeps some open, and tells what it finds of them."""

import os
import stat

import asking

HOME = "/var/tmp/files"
os.makedirs(f"{HOME}/dir/inner")
with open(f"{HOME}/plain", "w") as file:
    file.write("plain")
os.link(f"{HOME}/plain", f"{HOME}/dir/hard")
os.symlink("../plain", f"{HOME}/dir/soft")
os.setxattr(f"{HOME}/plain", "user.chrek", b"\x00\xffkept")
os.chown(f"{HOME}/plain", 1234, 5678)
os.chmod(f"{HOME}/plain", 0o4750)
with open(f"{HOME}/sparse", "wb") as file:
    file.truncate(64 << 20)
    file.seek(40 << 20)
    file.write(b"in the middle")
os.mkfifo(f"{HOME}/fifo")
# What the image has: changed, deleted, renamed, hidden by a directory made anew.
os.remove("/etc/debian_version")
with open("/etc/hostname-of-image", "w") as file:
    file.write("new")
os.mkdir("/opt/renamed-from")
with open("/opt/renamed-from/file", "w") as file:
    file.write("moved along")
os.rename("/opt/renamed-from", "/opt/renamed-to")
open(f"{HOME}/dir/inner/inside", "w").close()
os.rename(f"{HOME}/dir/inner", f"{HOME}/moved")
for where in ("/tmp/in-tmpfs", "/run/in-run", "/dev/shm/in-shm"):
    with open(where, "w") as file:
        file.write(where)
log = open(f"{HOME}/log", "a", buffering=1)


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__


def tell():
    log.write("asked\n")
    status = os.stat(f"{HOME}/plain")
    with open(f"{HOME}/sparse", "rb") as sparse:
        sparse.seek(40 << 20)
        middle = sparse.read(13).decode()
    return {
        "links": [status.st_nlink, os.path.samefile(f"{HOME}/plain", f"{HOME}/dir/hard")],
        "soft": read(f"{HOME}/dir/soft"),
        "xattr": os.getxattr(f"{HOME}/plain", "user.chrek").hex(),
        "owner": [status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode))],
        "sparse": [middle, os.stat(f"{HOME}/sparse").st_size, allocated(f"{HOME}/sparse")],
        "fifo": stat.S_ISFIFO(os.stat(f"{HOME}/fifo").st_mode),
        "deleted": read("/etc/debian_version"),
        "added": read("/etc/hostname-of-image"),
        "renamed": [read("/opt/renamed-to/file"), read("/opt/renamed-from/file")],
        "moved": os.listdir(f"{HOME}/moved"),
        "memory": [read(where) for where in ("/tmp/in-tmpfs", "/run/in-run", "/dev/shm/in-shm")],
        "log": read(f"{HOME}/log").count("\n"),
    }


def allocated(path):
    return "little" if os.stat(path).st_blocks * 512 < 1 << 20 else "much"


asking.serve(tell)
