"""1,500 directories inside each other."""

import os
import time

os.chdir("/var/tmp")
for _ in range(1500):
    os.mkdir("d" * 60)
    os.chdir("d" * 60)
os.chdir("/")
print("ready", flush=True)
while True:
    time.sleep(1)
