"""latentd's offline side: trains, measures and exports bundles into a models store."""
