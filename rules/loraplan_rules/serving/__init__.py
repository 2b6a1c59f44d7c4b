"""Rules about how the adapter is served."""
