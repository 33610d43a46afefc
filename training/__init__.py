"""latentd's offline side: trains, measures and exports bundles into a models store."""

import os

# onnxruntime, which checks the exported graphs, sends usage data to its maker from 1.29 on unless
# told otherwise before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# torch's OpenMP threads wait by spinning: on a machine that does anything else besides, a short
# training took more than twice as long. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
