"""Seeded faults: `python bench/seeded CORPUS`."""
