"""What is to be done, decided from values: pods, Checkpoints, the time. Nothing here acts."""
