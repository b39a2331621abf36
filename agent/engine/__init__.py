"""Capture and restore, over any runtime: what is done, in which order, and what undoes it."""
