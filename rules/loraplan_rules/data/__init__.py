"""Rules about the data and how it is cut, packed and masked."""
