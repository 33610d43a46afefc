"""The packaged searches, one TOML file each: `latentd tune NAME`."""
