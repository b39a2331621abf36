"""Python's multiprocessing: a pool, a queue, a manager, shared memory, named semaphores."""

import multiprocessing
import os
from multiprocessing import shared_memory

import asking


def square(number):
    return number * number, os.getpid()


def consume(requests, replies, value, semaphore):
    while True:
        word = requests.get()
        with semaphore:
            value.value += 1
        replies.put(word.upper())


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    pool = multiprocessing.Pool(3)
    manager = multiprocessing.Manager()
    shared = manager.dict(kept="by the manager")
    requests, replies = multiprocessing.Queue(), multiprocessing.Queue()
    value, semaphore = multiprocessing.Value("i", 0, lock=False), multiprocessing.Semaphore(1)
    arguments = (requests, replies, value, semaphore)
    worker = multiprocessing.Process(target=consume, args=arguments, daemon=True)
    worker.start()
    block = shared_memory.SharedMemory("block", create=True, size=1 << 20)
    block.buf[:6] = b"in shm"

    def tell():
        requests.put("word")
        reply = replies.get(timeout=40)
        other = shared_memory.SharedMemory("block")
        seen = bytes(other.buf[:6]).decode()
        other.close()
        squares = pool.map(square, range(20))
        return {
            "reply": reply,
            "count": value.value,
            "manager": shared["kept"],
            "shared memory": seen,
            "squares": [found for found, _ in squares],
            "workers alive": worker.is_alive(),
            "semaphore": semaphore.get_value(),
        }

    asking.serve(tell)
