"""`python -m loraplan_trainer.from_gguf FILE DIR`: a GGUF file's model and tokenizer as transformers saves them.

Needs the `gguf` package. The weights are dequantized; the result says nothing of having been quantized, or transformers
would not save it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def convert(source: Path, target: Path) -> None:
    """Write the model to a directory that appears when it is whole."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    plain = loaded.config.to_dict()
    plain.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(type(loaded.config).from_dict(plain))
    model.load_state_dict(loaded.state_dict())
    staged = target.with_name(f".{target.name}.writing")
    shutil.rmtree(staged, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(str(staged))
    tokenizer.save_pretrained(str(staged))
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
