"""Containers on one machine: runc over an overlay of the host's root, no daemon, no images."""
