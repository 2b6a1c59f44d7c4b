"""Rules about how the base weights are quantized while training."""
