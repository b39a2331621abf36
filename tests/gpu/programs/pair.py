"""Two processes with a CUDA context each, and a parent without one.

usage: pair.py PORT GIB [apart]   They are two of tensor.py, on PORT and PORT + 1.
    apart: each is on a GPU of its own.
"""

import subprocess
import sys
from pathlib import Path

port, gib = int(sys.argv[1]), sys.argv[2]
program = str(Path(__file__).with_name("tensor.py"))
apart = "apart" in sys.argv
children = [
    subprocess.Popen([sys.executable, program, str(port + n), gib, f"on={n if apart else 0}"])
    for n in (1, 0)
]
sys.exit(max(child.wait() for child in children))
