"""Networks on the same images: what differs, and how certain that is."""
