"""The packaged recipes, a TOML file each; `training.config` finds them by bare name."""
