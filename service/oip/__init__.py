"""The Open Inference Protocol ("v2", as KServe and Triton speak it), under `/v2`."""
