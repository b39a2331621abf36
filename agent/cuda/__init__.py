"""The GPU's side of a checkpoint: NVIDIA's driver, asked through a process of its own."""
