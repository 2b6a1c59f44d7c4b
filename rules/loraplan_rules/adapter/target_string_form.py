"""The targets are a string that cannot match.

## What it does
Flags a `target_modules` that is text where PEFT takes text as a regular expression for the whole module name: one name
(`q_proj`), names joined by commas (`q_proj,v_proj`), `all`, and a list holding `all-linear`. In LLaMA-Factory it flags
`all-linear`, which is called `all` there.

## Why is this bad?
PEFT compares the text with names such as `model.layers.0.self_attn.q_proj` by `re.fullmatch`, finds nothing and stops.
In TRL the same happens to a list of one name, because TRL unpacks it.

## Example
```python
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="q_proj,v_proj", task_type="CAUSAL_LM")
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = SFTTrainer("Qwen/Qwen3-8B", args=args, train_dataset=dataset, peft_config=peft_config)
```

## Use instead
```python
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

peft_config = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = SFTTrainer("Qwen/Qwen3-8B", args=args, train_dataset=dataset, peft_config=peft_config)
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/tuners_utils.py`: `match_target_against_key` is `re.fullmatch`; `"q_proj"`, `"q_proj,v_proj"`,
  `"all"` and `["all-linear"]` all raise (run).
- trl 1.16.0 `trainer/model_config.py`: a list of one entry becomes that entry.
- LLaMA-Factory 0.9.5 `hparams/finetuning_args.py`: `lora_target` is split at commas, and only `all` has a meaning.

## What it does not flag
- Regular expressions, `all-linear`, and a full module path.
- Formats that split the text themselves (LLaMA-Factory, autotrain, h2o) or take lists only.
- `lm_head` and other names that are a module's whole name.

## Fix safety
Safe: the names are those that were written, in the form that PEFT matches.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.document import Node, Scalar, Sequence, walk
from loraplan.formats.reading import Reading
from loraplan.formats.targets import STRING_TARGETS
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_PATTERN = frozenset("*+?[](){}|^$\\")
_WHOLE_NAMES = frozenset(("lm_head", "embed_out", "score", "classifier", "output"))


@rule(
    code="TGT003",
    name="target-string-form",
    severity="error",
    why="peft takes a string as a regular expression for the whole module name, and stops when nothing matches",
    reads=("adapter.target_modules",),
    evidence=(
        Evidence(
            "re.fullmatch",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
        Evidence(
            "a list of one becomes a string",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/model_config.py",
            "trl 1.16.0",
        ),
        Evidence(
            "only `all` has a meaning",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/finetuning_args.py",
            "LLaMA-Factory 0.9.5",
        ),
    ),
    suppresses=("TGT001", "TGT002"),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    reading = ctx.reading
    if not is_lora(plan) or not ctx.explicit("adapter.target_modules"):
        return
    key = ctx.key("adapter.target_modules")
    everything = Fix(f"set {key} to all-linear", (Set("adapter.target_modules", "all-linear"),), "safe")
    if reading.format == "llamafactory":
        if _written(reading) == ["all-linear"]:
            yield Finding(
                f"{key} all-linear is taken for a module's name: LLaMA-Factory calls it `all`",
                at="adapter.target_modules",
                why="LLaMA-Factory splits the value into names, and only `all` has a meaning of its own",
                remedy=f"set {key} to all",
                fix=Fix(f"set {key} to all", (Set("adapter.target_modules", "all-linear"),), "safe"),
            )
        return
    targets = plan.adapter.target_modules
    if reading.format not in STRING_TARGETS or not targets:
        return
    unpacked = reading.format == "trl" and isinstance(_node(reading), Sequence)
    if isinstance(targets, tuple):
        if len(targets) > 1:
            return
        if not unpacked and targets[0].lower() in ("all", "all-linear"):
            yield Finding(
                f"{key} [{targets[0]}] is a list: no module has that name",
                at="adapter.target_modules",
                remedy=f"set {key} to the string all-linear",
                fix=everything,
            )
        if not unpacked:
            return
        targets = targets[0]
    if targets.lower() == "all":
        yield Finding(
            f"{key} `{targets}` matches nothing: peft calls it all-linear",
            at="adapter.target_modules",
            remedy=f"set {key} to all-linear",
            fix=everything,
        )
        return
    parts = tuple(targets.replace(",", " ").split())
    if not parts or not all(_is_name(part) for part in parts):
        return
    if unpacked:
        yield Finding(
            f"{key} [{targets}]: trl unpacks a list of one, so peft takes `{targets}` as a pattern, which no module's"
            " whole name matches",
            at="adapter.target_modules",
            remedy=f"name a second module, or write the pattern .*\\.{targets}",
        )
        return
    yield Finding(
        f"{key} `{targets}` is a string, so peft takes it as one pattern, which no module's whole name matches",
        at="adapter.target_modules",
        remedy=f"write a list: [{', '.join(parts)}]"
        if reading.format != "trl" or len(parts) > 1
        else f"name a second module in a list, or write the pattern .*\\.{targets}",
        fix=Fix("write the names as a list", (Set("adapter.target_modules", parts),), "safe")
        if reading.format != "trl" or len(parts) > 1
        else None,  # trl would unpack a list of one again
    )


def _is_name(text: str) -> bool:
    """Whether text is a bare module name, which as a pattern for a whole name matches nothing."""
    return "." not in text and text not in _WHOLE_NAMES and text.lower() != "all-linear" and not _PATTERN & set(text)


def _node(reading: Reading) -> Node | None:
    """What stands in the file, whatever the format made of it."""
    span = reading.span("adapter.target_modules")
    return next((node for _, node in walk(reading.root) if node.span == span), None)


def _written(reading: Reading) -> list[str]:
    """The entries as they stand in the file."""
    node = _node(reading)
    items = node.items if isinstance(node, Sequence) else (node,)
    text = ",".join(item.text for item in items if isinstance(item, Scalar))
    return [part.strip() for part in text.split(",") if part.strip()]
