"""Whom a checkpoint is from, and what it may not give to a pod: keys, signatures, the gate."""
