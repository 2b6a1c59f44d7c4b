"""Faults of the file itself: misspelt and doubled keys, numbers as text, secrets, comments that silence nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from seeded.fault import Fault
from seeded.needs import CASTS, NO_LORA


def _replaced(pattern: str, new: str) -> Callable[[str], str | None]:
    def change(text: str) -> str | None:
        found, count = re.subn(pattern, new, text, count=1, flags=re.MULTILINE)
        return found if count else None

    return change


def _doubled(pattern: str) -> Callable[[str], str | None]:
    def change(text: str) -> str | None:
        found = re.search(pattern, text, re.MULTILINE)
        return text[: found.end()] + "\n" + found[0] + text[found.end() :] if found else None

    return change


def _on_top(line: str) -> Callable[[str], str | None]:
    return lambda text: None if text.lstrip().startswith("{") else f"{line}\n{text}"


FAULTS = [
    Fault(
        "CFG001",
        "a misspelt rank",
        text=_replaced(r'^( *"?)lor(?:a_)(r(?:ank)?"? *[:=])', r"\1lor_\2"),
        needs=(NO_LORA,),
    ),
    Fault("CFG001", "a misspelt alpha", text=_replaced(r"\blora_alpha\b", "lora_alhpa"), needs=(NO_LORA,)),
    Fault("CFG001", "a misspelt dropout", text=_replaced(r"\blora_dropout\b", "lora_droput"), needs=(NO_LORA,)),
    Fault("CFG001", "a misspelt rate", text=_replaced(r"\blearning_rate\b", "learning_rte"), needs=(NO_LORA,)),
    Fault(
        "CFG001",
        "a misspelt checkpointing",
        text=_replaced(r"^( *)gradient_checkpointing:", r"\1gradient_checkpoiting:"),
        needs=(NO_LORA,),
    ),
    Fault("CFG005", "rank twice", text=_doubled(r'^ *"?(?:lora_r|lora_rank|r)"? *[:=] *\d+.*$'), needs=(NO_LORA,)),
    Fault("CFG005", "rate twice", text=_doubled(r'^ *"?learning_rate"? *[:=] *[^\n]*$'), needs=(NO_LORA,)),
    Fault(
        "CFG002",
        "a rate as text",
        text=_replaced(r'^( *"?learning_rate"?: *)[^\n#,]*[0-9]', r'\g<1>"1e-4"'),
        needs=(
            NO_LORA,
            CASTS,
        ),
    ),
    Fault(
        "SEC002",
        "a token",
        text=_replaced(
            r'^( *"?(?:\w*output_dir|out_dir)"?)( *[:=] *).*?(,?)$', r'\1\2"hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"\3'
        ),
        needs=(NO_LORA,),
    ),
    Fault("SUP001", "a comment that silences nothing", text=_on_top("# loraplan: ignore[ALP004]"), needs=(NO_LORA,)),
    Fault("SUP002", "a comment that cannot be read", text=_on_top("# loraplan: ignore[ALP004"), needs=(NO_LORA,)),
]
