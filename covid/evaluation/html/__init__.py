"""An evaluation and its run as one HTML file that opens anywhere, without a network."""
