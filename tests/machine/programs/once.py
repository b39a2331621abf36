"""Starts only once in a file system, as many daemons do, and holds memory."""

import os
import sys
import time

try:
    os.close(os.open("/var/app.pid", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    sys.exit("already running")
memory = os.urandom(8 << 20)
print("ready", flush=True)
while True:
    time.sleep(0.1)
