"""Targets and probabilities to figures and pictures; knows neither torch nor onnxruntime."""
