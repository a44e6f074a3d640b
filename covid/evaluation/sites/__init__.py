"""One network at several hospitals, beside each other."""
