"""Offline side of latentd: trains and evaluates networks, exports them, and publishes bundles."""

import os

# onnxruntime 1.29 and later sends telemetry by default. It reads this variable when imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Idle OpenMP threads spin for milliseconds before they sleep, which more than doubled the time of a
# short training on a machine with other load. Without any spinning, a step of the reports' network
# took a third longer on an idle machine. 3,000 iterations last about as long as the gap between two
# layers. torch reads both variables when imported; only GNU's OpenMP reads the second.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
