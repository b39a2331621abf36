"""Two hundred threads that take turns, wait for each other, and each keep something."""

import os
import queue
import threading
import time

import asking

THREADS = 200
own = threading.local()
counts = [0] * THREADS
kept = [None] * THREADS
lock = threading.Lock()
condition = threading.Condition()
rounds = queue.Queue()
barrier = threading.Barrier(4)
laps = [0] * 4


def work(number):
    own.value = os.urandom(8).hex()
    while True:
        with lock:
            counts[number] += 1
            kept[number] = (own.value, threading.get_native_id())
        time.sleep(0.1)


def race(number):
    while True:
        barrier.wait()
        laps[number] += 1
        time.sleep(0.01)


def answer():
    while True:
        question, reply = rounds.get()
        with condition:
            reply.append(question * 2)
            condition.notify_all()


for number in range(THREADS):
    threading.Thread(target=work, args=(number,), daemon=True).start()
for number in range(4):
    threading.Thread(target=race, args=(number,), daemon=True).start()
threading.Thread(target=answer, daemon=True).start()
while not all(kept):
    time.sleep(0.01)


def tell():
    before, before_laps, deadline = list(counts), list(laps), time.monotonic() + 40
    while not all(new > old for new, old in zip(counts, before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    reply = []
    with condition:
        rounds.put((21, reply))
        condition.wait_for(lambda: reply, timeout=40)
    return {
        "went on": sum(new > old for new, old in zip(counts, before)),
        "kept": kept,
        "reply": reply,
        "laps": all(new > old for new, old in zip(laps, before_laps)),
        "threads": threading.active_count(),
        "names": len(os.listdir("/proc/self/task")),
    }


asking.serve(tell)
