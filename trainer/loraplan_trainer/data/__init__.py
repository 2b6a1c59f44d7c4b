"""From data files to token sequences: rows, their forms, their encoding, statistics."""
