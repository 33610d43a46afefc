"""The commands of `latentd`, one file each: parse flags, make one call, print the result.

Each command is a function from its arguments to an exit status: 0; 1 if it failed; 2 if the recipe
or a flag is invalid; 130 if it was interrupted.
"""
