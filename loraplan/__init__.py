"""LoRAPlan: check a LoRA or QLoRA fine-tuning config before spending GPU hours on it."""

__version__ = "0.1.0"
