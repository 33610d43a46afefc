"""latentd's offline side: trains, measures and exports bundles into a models store."""

import os

# onnxruntime, which checks the exported graphs, sends usage data to its maker from 1.29 on unless
# told otherwise before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# torch's OpenMP threads wait for each other by spinning, for milliseconds if need be: on a machine
# that does anything else besides, a short training took more than twice as long. Without spinning,
# a step of the reports' net took a third longer on a quiet machine. So they spin for the time
# between two layers, and sleep then. Read when torch is loaded; the second by GNU's OpenMP alone.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
