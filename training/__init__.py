"""latentd's offline side: trains, measures and exports bundles into a models store."""

import os

# onnxruntime, which checks the exported graphs, sends usage data to its maker from 1.29 on unless
# told otherwise before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
