"""Architectures whose code comes with their weights."""

from __future__ import annotations

REMOTE_CODE = frozenset(("internlm", "internlm2", "baichuan", "chatglm", "phi3_v", "qwen"))
"""Model types of the catalogue that transformers 5.23.0 does not have (`CONFIG_MAPPING_NAMES`)."""
