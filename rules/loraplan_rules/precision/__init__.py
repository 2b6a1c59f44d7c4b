"""Rules about mixed precision."""
