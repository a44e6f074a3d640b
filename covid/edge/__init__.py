"""What runs where there is no PyTorch: numpy, Pillow and onnxruntime only."""

from covid.edge.model import Model, load

__all__ = ["Model", "load"]
