"""Has twenty children that have ended and that it does not wait for."""

import os
import time

for _ in range(20):
    if os.fork() == 0:
        os._exit(0)
time.sleep(0.2)
print("ready", flush=True)
while True:
    print("alive", flush=True)
    time.sleep(0.1)
