"""The search for hyper-parameters: `latentd tune`."""
