"""Benchmarks: chrek against bare CRIU and against Podman, all in one run. `python -m bench`."""
