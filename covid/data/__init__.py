"""Images on disk to batches: an index of samples, a cache of decoded images, batches."""
