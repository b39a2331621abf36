"""Holding a tree of processes still, all but the threads that the GPU's driver works with."""
