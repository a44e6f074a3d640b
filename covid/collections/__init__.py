"""Public collections of chest X-rays, from the files as they are downloaded to a manifest."""
