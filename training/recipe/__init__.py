"""Recipes: their schema, the packaged ones, and TOML parsing."""
