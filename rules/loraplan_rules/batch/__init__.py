"""Rules about batch size, epochs and steps."""
