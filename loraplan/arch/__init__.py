"""Base models: which modules they have, of what shape, found from a local directory, a cache or the catalogue."""
