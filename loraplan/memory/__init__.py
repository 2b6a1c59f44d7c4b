"""Peak GPU memory of a training run, from its config and its architecture alone: no torch, no GPU."""
