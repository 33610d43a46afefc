"""One script per framework, each run in an environment that has it: `python SCRIPT FOLDER`.

A script writes the files of its networks, `images.npz`, `arguments.json` with the flags of
`latentd import`, and `reference.npz` with what the original returns for some images.
"""
