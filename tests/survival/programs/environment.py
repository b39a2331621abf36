"""Tells a hash of its environment and of its arguments, as it and as the kernel have them."""

import hashlib
import os
import sys

import asking


def digest(content):
    return hashlib.sha256(content).hexdigest()


def tell():
    own = b"\0".join(sorted(k + b"=" + v for k, v in os.environb.items() if k.startswith(b"BIG")))
    with open("/proc/self/environ", "rb") as file:
        kernels = file.read()
    with open("/proc/self/cmdline", "rb") as file:
        arguments = file.read()
    return [digest(own), len(own), digest(kernels), len(kernels), digest(arguments), len(sys.argv)]


asking.serve(tell)
