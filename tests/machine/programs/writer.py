"""Writes files of many kinds, then appends a line to an open log for as long as it lives."""

import os
import time

os.makedirs("/var/tmp/kept/dir", exist_ok=True)
open("/var/tmp/kept/plain", "w").write("plain")
os.symlink("plain", "/var/tmp/kept/link")
os.link("/var/tmp/kept/plain", "/var/tmp/kept/hard")
os.chmod("/var/tmp/kept/plain", 0o640)
open("/tmp/in-tmpfs", "w").write("tmpfs")
open("/dev/shm/in-shm", "w").write("shm")
os.remove("/etc/debian_version")
deleted = open("/var/tmp/kept/deleted", "w+")
deleted.write("deleted but open")
deleted.flush()
os.remove("/var/tmp/kept/deleted")
log = open("/var/tmp/kept/log", "a", buffering=1)
number = 0
print("ready", flush=True)
while True:
    number += 1
    log.write(f"{number}\n")
    if os.path.exists("/tmp/ask"):
        deleted.seek(0)
        open("/tmp/answer.new", "w").write(f"{number} {deleted.read()}")
        os.rename("/tmp/answer.new", "/tmp/answer")
        os.remove("/tmp/ask")
    time.sleep(0.02)
