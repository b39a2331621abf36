"""`make demo`: the main job on one machine, shown with a real service."""
