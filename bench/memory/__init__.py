"""Restores of large memory: bare CRIU and chrek by turns, and the machine's own limits."""
