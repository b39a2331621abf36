"""Volumes of pods as the agent reaches them: on the host, for as long as it works on them."""
