"""Rules about what a config lets others do."""
