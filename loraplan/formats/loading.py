"""Whether a framework loads a model that also sees as a whole, or its language part alone.

Sources: axolotl 0.19.0 `utils/config/__init__.py` (is_multimodal by model type) and `loaders/model.py`
(_set_auto_model_loader); LLaMA-Factory 0.9.5 `model/loader.py`; oumi 0.9 `builders/models.py`
(_get_transformers_model_class) and `core/configs/internal/supported_models.py`; nemo-automodel 0.7.0
`_transformers/auto_model.py`; torchtune 0.6.1 builds its own vision models.
"""

from __future__ import annotations

from loraplan.document import Scalar, find
from loraplan.formats.reading import Reading

_WHOLE = frozenset(("axolotl", "llamafactory", "torchtune"))
_OUMI_WHOLE = frozenset(("mllama", "qwen3_5", "qwen3_5_moe"))
"""Types of seeing models with a causal class that oumi loads with the image-text class; others get the causal one."""


def text_alone(reading: Reading, model_type: str) -> bool | None:
    """True for the language part alone, False for the whole model, None where the file does not tell.

    Asked of models whose causal class is a text model (`loraplan.arch.text`).
    """
    if reading.format in _WHOLE:
        return False
    if reading.format == "oumi":
        return model_type not in _OUMI_WHOLE or _text(reading, "model.text_only").lower() == "true"
    if reading.format == "nemo-automodel":
        loader = _text(reading, "model._target_")
        return "ForCausalLM" in loader if "AutoModelFor" in loader else None
    if reading.format == "python":
        words = reading.document.text
        return True if "AutoModelForCausalLM" in words and "ImageTextToText" not in words else None
    return None


def _text(reading: Reading, key: str) -> str:
    found = find(reading.root, tuple(key.split(".")))
    return found.text.strip() if isinstance(found, Scalar) else ""
