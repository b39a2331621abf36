"""Faults at random instants of random operations, and what must hold after each."""
