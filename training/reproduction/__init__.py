"""`latentd reproduce`: train, measure and tabulate every system of the source reports.

This package is part of a checkout only: the wheel excludes it.
"""
