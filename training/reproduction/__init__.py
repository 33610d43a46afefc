"""`latentd reproduce`: every system of the source reports, trained, measured and tabulated."""
