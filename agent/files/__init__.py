"""What a container wrote, there and back: its overlay's upper layer, tmpfs mounts, emptyDirs."""
