"""A trained network to ONNX files that give the same answers: made, quantised, proven."""
