"""The trainer's process: the only package that may import torch, transformers, peft and their kin."""
