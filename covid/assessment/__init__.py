"""A predictor and images become the files of an evaluation."""
