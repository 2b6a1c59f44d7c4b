"""Chat templates that configs name instead of writing out, each with marks around what the assistant writes.

The wordings are LLaMA-Factory's (llamafactory/data/template.py@0.9.5), which most configs that name one were written
for; `phi_3` and `qwen_25` are axolotl's names (axolotl/utils/chat_templates@0.19.0). No jinja is run here.
"""

from __future__ import annotations

from typing import Any

_TURNS = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}SYSTEM"
    "{%- elif message['role'] == 'assistant' -%}{%- generation -%}ASSISTANT{%- endgeneration -%}"
    "{%- elif message['role'] == 'user' -%}USER"
    "{%- else -%}{{- raise_exception('this template has no role ' + message['role']) -}}{%- endif -%}"
    "{%- endfor -%}"
)
_CONTENT = "message['content']"


def _template(system: str, user: str, assistant: str, opening: str, prefix: str = "", default: str = "") -> str:
    """A template from its turns; `opening` starts the assistant's turn, before what it writes."""
    turns = (
        _TURNS.replace("SYSTEM", "{{- " + system + " -}}")
        .replace("ASSISTANT", "{{- " + assistant + " -}}")
        .replace("USER", "{{- " + user + " -}}")
    )
    # The opening belongs to the context of an answer, not to the answer.
    turns = turns.replace("{%- generation -%}", "{{- " + opening + " -}}{%- generation -%}")
    first = "{%- if not messages or messages[0]['role'] != 'system' -%}{{- " + default + " -}}{%- endif -%}"
    return (
        ("{{- " + prefix + " -}}" if prefix else "")
        + (first if default else "")
        + turns
        + "{%- if add_generation_prompt -%}{{- "
        + opening
        + " -}}{%- endif -%}"
    )


def _chatml(default: str = "") -> str:
    return _template(
        system=f"'<|im_start|>system\\n' + {_CONTENT} + '<|im_end|>\\n'",
        user=f"'<|im_start|>user\\n' + {_CONTENT} + '<|im_end|>\\n'",
        assistant=f"{_CONTENT} + '<|im_end|>\\n'",
        opening="'<|im_start|>assistant\\n'",
        default=f"'<|im_start|>system\\n{default}<|im_end|>\\n'" if default else "",
    )


_HEADER = "'<|start_header_id|>{}<|end_header_id|>\\n\\n'"
_QWEN = _chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")
_PHI = _template(
    system=f"'<|system|>\\n' + {_CONTENT} + '<|end|>\\n'",
    user=f"'<|user|>\\n' + {_CONTENT} + '<|end|>\\n'",
    assistant=f"{_CONTENT} + '<|end|>\\n'",
    opening="'<|assistant|>\\n'",
)

TEMPLATES = {
    "chatml": _chatml(),
    "qwen": _QWEN,
    "qwen_25": _QWEN,
    "llama3": _template(
        prefix="bos_token",
        system=f"{_HEADER.format('system')} + {_CONTENT} + '<|eot_id|>'",
        user=f"{_HEADER.format('user')} + {_CONTENT} + '<|eot_id|>'",
        assistant=f"{_CONTENT} + '<|eot_id|>'",
        opening=_HEADER.format("assistant"),
    ),
    "phi": _PHI,
    "phi_3": _PHI,
    "default": _template(
        system=f"'System: ' + {_CONTENT} + eos_token + '\\n'",
        user=f"'Human: ' + {_CONTENT} + eos_token + '\\n'",
        assistant=f"{_CONTENT} + eos_token + '\\n'",
        opening="'Assistant:'",
    ),
    "empty": _template(system=_CONTENT, user=_CONTENT, assistant=_CONTENT, opening="''"),
    "alpaca": _template(
        system=_CONTENT,
        user=f"'### Instruction:\\n' + {_CONTENT} + '\\n\\n'",
        assistant=f"{_CONTENT} + eos_token + '\\n\\n'",
        opening="'### Response:\\n'",
        default=(
            "'Below is an instruction that describes a task. "
            "Write a response that appropriately completes the request.\\n\\n'"
        ),
    ),
}


def is_template_text(value: Any) -> bool:
    """Whether a value is a template itself, not a name."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)
