"""Rules about the adapter itself: rank, scaling, targets, dropout."""
