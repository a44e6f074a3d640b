"""Where a network decides, whether its probabilities hold, and what decisions are worth."""
