"""A parent and N children, each with 2 MiB of its own random memory."""

import os
import sys
import time

for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        memory = os.urandom(2 << 20)
        while True:
            time.sleep(1)
time.sleep(1)
print("ready", flush=True)
while True:
    print("alive", flush=True)
    time.sleep(0.1)
