"""Rules about the file itself: keys, duplicates, values that change on loading, switches and secrets."""
