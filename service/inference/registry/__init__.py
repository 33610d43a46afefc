"""The registry of loaded models: reads the store, tries new bundles aside, swaps snapshots."""
