"""What runs where there is no PyTorch: numpy, Pillow and onnxruntime only."""
