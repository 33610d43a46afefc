"""Everything that knows HTTP, and nothing else in the service does."""
