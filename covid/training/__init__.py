"""Epochs, checkpoints, run folders, and how Accelerate is started."""
