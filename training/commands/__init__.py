"""The commands: one file each, which parses flags and makes one call."""
