"""What a container wrote: its overlay's upper layer and its tmpfs mounts, there and back."""
