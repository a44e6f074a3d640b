"""Networks, where their weights come from, and losses."""
