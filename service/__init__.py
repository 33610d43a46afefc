"""latentd's service: reads bundles from a models store and serves their operations over HTTP."""
