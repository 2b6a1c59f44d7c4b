"""Rules about the learning rate, its schedule and its warm-up."""
