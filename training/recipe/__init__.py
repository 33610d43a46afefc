"""The recipe: its schema, the packaged recipes, and TOML input."""
