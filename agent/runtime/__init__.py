"""Container runtimes behind one Protocol: runc on one machine (CRI in a cluster comes later)."""
