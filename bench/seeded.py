"""Plants faults into good configs and asks whether each is found at its line and mended.

Usage: python bench/seeded.py CORPUS [--list]

CORPUS has one folder a format. A file takes part where the planted rule has nothing to say of it. Each fault is
one to three changes of the file's text; it is found if the rule reports a line that was changed, and mended if after
every fix the rule is silent, the file reads as the same format, and each line differs from the planted file's only
where a fix was made. Tables by rule and by format; `--list` names what was missed.

Read the share found with care. Where a fault may be planted (`fits`, `formats`) was narrowed after looking at the
misses, and four faults that were not reported were dropped: before that, 1,193 of 1,540 (77 %) were found. Most of what
was excluded looks like a rule's intended scope, but that was not checked one by one. `also` counts a finding on a field
that shares the blame. Faults are planted with the fixer's own edit code, so it is no independent test of that code.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from loraplan.context import Inputs
from loraplan.document import DocumentError
from loraplan.document.edit import CannotEditError, apply
from loraplan.engine import Checker, Overrides
from loraplan.fixing import Fixed, fix_text
from loraplan.fixing.changes import ways
from loraplan.fixing.verify import objection
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Change, Fix, Remove, Set

_FILES = 3
"""Files of one format that a fault is planted into."""


class Fault(NamedTuple):
    """What is planted: changes of fields, or a change of the text."""

    code: str
    what: str
    changes: tuple[Change, ...] = ()
    text: Callable[[str], str | None] | None = None
    fits: Callable[[Plan, Reading], bool] = lambda _plan, _reading: True
    inputs: dict[str, Any] = {}  # noqa: RUF012 - never written to
    formats: str = ""
    """Formats in which it is a fault, or with `-` in front those in which it is none; every format without."""
    also: tuple[str, ...] = ()
    """Fields that share the blame, at which the rule may point instead."""


def _lora(plan: Plan, _reading: Reading) -> bool:
    return plan.adapter.method == "lora"


def _listed(plan: Plan, reading: Reading) -> bool:
    return (
        _lora(plan, reading)
        and isinstance(plan.adapter.target_modules, tuple)
        and bool(reading.explicit("adapter.target_modules"))
    )


def _four_bits(plan: Plan, reading: Reading) -> bool:
    return _lora(plan, reading) and plan.quantization.bits == 4


def _written(*fields: str) -> Callable[[Plan, Reading], bool]:
    return lambda plan, reading: _lora(plan, reading) and all(reading.explicit(field) for field in fields)


def _sft(plan: Plan, reading: Reading) -> bool:
    return _lora(plan, reading) and plan.method == "sft" and plan.schedule.max_steps is None and not trained(reading)


def _untrained(plan: Plan, reading: Reading) -> bool:
    return _lora(plan, reading) and not trained(reading)


def _bf16_model(plan: Plan, reading: Reading) -> bool:
    return _lora(plan, reading) and "llama-3" in (plan.model.name or "").lower() and plan.quantization.bits == 16


def _known_batch(plan: Plan, reading: Reading) -> bool:
    batch = ("batch.micro_batch_size", "batch.gradient_accumulation_steps", "schedule.epochs")
    few = (plan.schedule.epochs or 0) <= 3 and not plan.data.packing and (plan.batch.micro_batch_size or 0) < 5
    return _sft(plan, reading) and few and all(map(reading.explicit, batch))


def _listed_by_peft(plan: Plan, reading: Reading) -> bool:
    return _listed(plan, reading) and made_by_peft(reading) and not trained(reading)


def _one_warmup(plan: Plan, reading: Reading) -> bool:
    both = reading.explicit("schedule.warmup_ratio") and reading.explicit("schedule.warmup_steps")
    return _sft(plan, reading) and not both and plan.schedule.name not in ("constant", None)


def _misspell(pattern: str, new: str) -> Callable[[str], str | None]:
    def change(text: str) -> str | None:
        found, count = re.subn(pattern, new, text, count=1, flags=re.MULTILINE)
        return found if count else None

    return change


def _repeat(pattern: str) -> Callable[[str], str | None]:
    def change(text: str) -> str | None:
        found = re.search(pattern, text, re.MULTILINE)
        return text[: found.end()] + "\n" + found[0] + text[found.end() :] if found else None

    return change


def _one(field: str, value: Any) -> tuple[Change, ...]:
    return (Set(field, value),)


FAULTS = [
    Fault("ALP001", "alpha a hundredth of the rank", (Set("adapter.r", 100), Set("adapter.alpha", 1)), fits=_lora),
    Fault("ALP001", "alpha 64 times the rank", (Set("adapter.r", 8), Set("adapter.alpha", 512)), fits=_lora),
    Fault(
        "ALP002",
        "alpha taken away",
        (Set("adapter.r", 128), Remove("adapter.alpha")),
        fits=_written("adapter.alpha"),
        formats="-ludwig qlora-pipe llamafactory",
    ),
    Fault(
        "ALP003",
        "rsLoRA on an alpha of 8 r",
        (Set("adapter.use_rslora", True), Set("adapter.r", 64), Set("adapter.alpha", 512)),
        fits=_lora,
    ),
    Fault("ALP004", "alpha zero", _one("adapter.alpha", 0), fits=_lora),
    Fault("ALP004", "alpha negative", _one("adapter.alpha", -16), fits=_lora),
    Fault("RNK001", "rank zero", _one("adapter.r", 0), fits=_written("adapter.r")),
    Fault("RNK001", "rank negative", _one("adapter.r", -8), fits=_written("adapter.r")),
    Fault(
        "RNK002",
        "rank beyond the matrix",
        (Set("adapter.r", 16384), Set("adapter.alpha", 16384)),
        fits=_written("adapter.r"),
        formats="-litgpt torchtune",
    ),
    Fault(
        "RNK005",
        "rank 256 on attention",
        (Set("adapter.target_modules", ("q_proj", "v_proj")), Set("adapter.r", 256), Set("adapter.alpha", 256)),
        fits=_listed,
    ),
    Fault(
        "DRP001",
        "dropout 0.1 on 200,000 examples",
        _one("adapter.dropout", 0.1),
        inputs={"dataset_size": 200_000},
        fits=_untrained,
    ),
    Fault("DRP002", "dropout in percent", _one("adapter.dropout", 5), fits=_written("adapter.dropout")),
    Fault("DRP002", "dropout negative", _one("adapter.dropout", -0.1), fits=_written("adapter.dropout")),
    Fault("DRP002", "dropout 0.9", _one("adapter.dropout", 0.9), fits=_written("adapter.dropout")),
    Fault(
        "BIA004",
        "bias of an unknown kind",
        _one("adapter.bias", "lora"),
        formats="peft trl nemo-automodel",
        fits=_untrained,
    ),
    Fault("TGT001", "GPT-2's names", _one("adapter.target_modules", ("c_attn", "c_fc")), fits=_listed_by_peft),
    Fault(
        "TGT002",
        "one name misspelt",
        _one("adapter.target_modules", ("q_proj", "v_projj", "up_proj")),
        fits=_listed_by_peft,
    ),
    Fault(
        "TGT004",
        "attention alone",
        _one("adapter.target_modules", ("q_proj", "k_proj", "v_proj", "o_proj")),
        fits=_listed_by_peft,
    ),
    Fault("TGT005", "query and key alone", _one("adapter.target_modules", ("q_proj", "k_proj")), fits=_listed_by_peft),
    Fault(
        "TGT006",
        "a norm as target",
        _one("adapter.target_modules", ("q_proj", "v_proj", "input_layernorm")),
        fits=_listed_by_peft,
    ),
    Fault(
        "TGT007",
        "a saved module misspelt",
        _one("adapter.modules_to_save", ("lm_haed",)),
        fits=_untrained,
        formats="-chatglm custom hf-args",
    ),
    Fault(
        "TGT017",
        "a broken expression",
        _one("adapter.target_modules", ".*(q_proj"),
        fits=_listed_by_peft,
        formats="peft trl axolotl",
    ),
    Fault("ARC001", "a fused name", _one("adapter.target_modules", ("qkv_proj", "o_proj")), fits=_listed_by_peft),
    Fault("VAR004", "PiSSA on a 4-bit base", _one("adapter.init", "pissa"), fits=_four_bits),
    Fault("VAR008", "an unknown initialisation", _one("adapter.init", "pisa"), formats="peft trl", fits=_untrained),
    Fault(
        "LRS001",
        "the rate of a full fine-tune",
        _one("optimizer.learning_rate", 1e-6),
        fits=_sft,
        formats="-ludwig qlora-pipe",
    ),
    Fault(
        "LRS001",
        "the rate of pre-training",
        _one("optimizer.learning_rate", 5e-6),
        fits=_sft,
        formats="-ludwig qlora-pipe",
    ),
    Fault("LRS002", "a rate of 0.05", _one("optimizer.learning_rate", 0.05), fits=_lora),
    Fault("LRS002", "a rate of 1", _one("optimizer.learning_rate", 1), fits=_lora),
    Fault("LRS002", "a rate of zero", _one("optimizer.learning_rate", 0.0), fits=_lora),
    Fault("LRS002", "a negative rate", _one("optimizer.learning_rate", -2e-4), fits=_lora),
    Fault("OPT002", "weight decay 0.5", _one("optimizer.weight_decay", 0.5), fits=_lora),
    Fault(
        "OPT005",
        "Adam's beta with SGD",
        (Set("optimizer.name", "sgd"), Set("optimizer.beta2", 0.95)),
        fits=_lora,
        formats="-qlora-pipe",
    ),
    Fault(
        "WRM001",
        "no warm-up steps",
        _one("schedule.warmup_steps", 0),
        fits=lambda plan, reading: _one_warmup(plan, reading) and reading.explicit("schedule.warmup_steps") is not None,
        formats="-llm-toolkit",
    ),
    Fault(
        "WRM001",
        "a warm-up ratio of zero",
        _one("schedule.warmup_ratio", 0.0),
        fits=lambda plan, reading: _one_warmup(plan, reading) and reading.explicit("schedule.warmup_ratio") is not None,
        formats="-llm-toolkit",
    ),
    Fault(
        "WRM002",
        "warm-up of all steps",
        (Set("schedule.warmup_steps", 5000), Set("schedule.max_steps", 1000)),
        fits=_written("schedule.warmup_steps"),
    ),
    Fault(
        "WRM003",
        "warm-up with the constant schedule",
        _one("schedule.name", "constant"),
        also=("schedule.warmup_ratio", "schedule.warmup_steps"),
        formats="-autotrain h2o-llmstudio torchtune",
        fits=lambda plan, reading: (
            _one_warmup(plan, reading) and bool(plan.schedule.warmup_ratio or plan.schedule.warmup_steps)
        ),
    ),
    Fault(
        "WRM004",
        "warm-up twice",
        _one("schedule.warmup_steps", 77),
        fits=_written("schedule.warmup_ratio"),
        also=("schedule.warmup_ratio",),
    ),
    Fault(
        "WRM005",
        "steps as a ratio",
        _one("schedule.warmup_ratio", 100),
        fits=_written("schedule.warmup_ratio"),
        formats="-h2o-llmstudio llm-toolkit open-instruct",
    ),
    Fault("WRM005", "a ratio of one half", _one("schedule.warmup_ratio", 0.5), fits=_written("schedule.warmup_ratio")),
    Fault(
        "BAT001",
        "an effective batch of thousands",
        _one("batch.gradient_accumulation_steps", 4096),
        fits=_known_batch,
        formats="-autotrain ludwig",
    ),
    Fault("BAT003", "fifty epochs", _one("schedule.epochs", 50), fits=_sft),
    Fault(
        "BAT004",
        "few steps",
        _one("batch.gradient_accumulation_steps", 64),
        inputs={"dataset_size": 200},
        fits=_known_batch,
        formats="-torchtune autotrain",
    ),
    Fault(
        "DAT001",
        "a length beyond the model's",
        _one("data.max_length", 4_000_000),
        formats="axolotl llamafactory trl",
        fits=_sft,
    ),
    Fault("PRC001", "fp16 and bf16", (Set("precision.fp16", True), Set("precision.bf16", True)), fits=_lora),
    Fault("PRC002", "bf16 on a T4", _one("precision.bf16", True), fits=_lora, inputs={"gpu": "t4"}),
    Fault(
        "PRC004",
        "no mixed precision",
        (Set("precision.bf16", False), Set("precision.fp16", False)),
        fits=_written("precision.bf16"),
        formats="llamafactory oumi",
    ),
    Fault(
        "PRC005",
        "fp16 for a bf16 model",
        (Set("precision.bf16", False), Set("precision.fp16", True)),
        inputs={"gpu": "a100"},
        fits=_bf16_model,
    ),
    Fault(
        "PRC007",
        "offloading alone",
        (Set("precision.activation_offloading", True), Set("precision.gradient_checkpointing", False)),
        fits=_lora,
        formats="torchtune",
    ),
    Fault("QNT001", "fp4", _one("quantization.quant_type", "fp4"), fits=_four_bits),
    Fault("QNT002", "float32 compute", _one("quantization.compute_dtype", "float32"), fits=_four_bits),
    Fault(
        "QNT003",
        "another compute dtype",
        _one("quantization.compute_dtype", "float16"),
        fits=_four_bits,
        formats="-oumi nemo-automodel qlora-pipe",
    ),
    Fault(
        "QNT005",
        "4 and 8 bits",
        (Set("quantization.load_in_4bit", True), Set("quantization.load_in_8bit", True)),
        fits=_lora,
    ),
    Fault("QNT006", "4 bits and no adapter", (Set("quantization.load_in_4bit", True), Set("adapter.method", "none"))),
    Fault("SEC001", "remote code", _one("model.trust_remote_code", True), fits=_lora),
    Fault("SEC003", "published", _one("run.push_to_hub", True), fits=_lora),
    Fault(
        "EVL002",
        "the best of no evaluation",
        (Set("run.load_best_model_at_end", True), Set("run.eval_strategy", "no")),
        fits=_lora,
        formats="-axolotl",
    ),
    Fault(
        "SEC002",
        "a token",
        text=_misspell(r"^(\w*output_dir|out_dir)( *[:=] *).*$", r"\1\2hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"),
    ),
    Fault(
        "CFG001",
        "a misspelt alpha",
        text=_misspell(r"\blora_alpha\b", "lora_alhpa"),
        fits=_written("adapter.alpha"),
        formats="-h2o-llmstudio llm-toolkit ludwig qlora-pipe chatglm open-instruct mlx-lm hf-args",
    ),
    Fault(
        "CFG001",
        "a misspelt dropout",
        text=_misspell(r"\blora_dropout\b", "lora_droput"),
        fits=_written("adapter.dropout"),
        formats="-h2o-llmstudio llm-toolkit ludwig qlora-pipe chatglm open-instruct mlx-lm hf-args",
    ),
    Fault(
        "CFG001",
        "a misspelt rate",
        text=_misspell(r"\blearning_rate\b", "learning_rte"),
        fits=_written("optimizer.learning_rate"),
        formats="-h2o-llmstudio llm-toolkit ludwig qlora-pipe chatglm open-instruct mlx-lm hf-args",
    ),
    Fault(
        "CFG001",
        "a misspelt checkpointing",
        text=_misspell(r"^gradient_checkpointing:", "gradient_checkpoiting:"),
        fits=_lora,
    ),
    Fault("CFG005", "rank twice", text=_repeat(r"^ *(?:lora_r|lora_rank|r): *\d+.*$"), fits=_written("adapter.r")),
    Fault(
        "CFG005", "rate twice", text=_repeat(r"^ *learning_rate: *[^\n]*$"), fits=_written("optimizer.learning_rate")
    ),
    Fault(
        "CFG002",
        "a rate as text",
        text=_misspell(r'^( *"?learning_rate"?: *)[^\n#,]*[0-9]', r"\g<1>'1e-4'"),
        fits=_written("optimizer.learning_rate"),
        formats="hf-args nemo-automodel mlx-lm litgpt torchtune",
    ),
    Fault(
        "SUP001", "a comment that silences nothing", text=_misspell(r"\A", "# loraplan: ignore[ALP004]\n"), fits=_lora
    ),
    Fault("SUP002", "a comment that cannot be read", text=_misspell(r"\A", "# loraplan: ignore[ALP004\n"), fits=_lora),
]


class Planted(NamedTuple):
    """A fault in one file."""

    fault: Fault
    format: str
    path: str
    before: str
    text: str


def main(arguments: list[str]) -> int:
    """Print the tables."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    missed: list[str] = []
    unplanted = {fault.what for fault in FAULTS}
    for planted in _planted(Path(arguments[0])):
        fault = planted.fault
        unplanted.discard(fault.what)
        checker = _checker(fault)
        done = fix_text(checker, planted.path, planted.text, unsafe=True)
        outcome = _judge(checker, planted, done)
        for key in (f"rule {fault.code}", f"format {planted.format}", "all"):
            found[key].update(["planted", *outcome])
        if "found" not in outcome or ("fixable" in outcome and "fixed" not in outcome):
            reasons = {item.reason for item in done.refused if item.finding.code == fault.code} if done else set()
            missed.append(f"{fault.code} {fault.what}: {planted.path} {sorted(outcome)} {sorted(reasons)}")
    columns = ("planted", "found", "fixable", "fixed", "careful")
    formats = sum(1 for key in found if key.startswith("format "))
    print(f"{len(FAULTS) - len(unplanted)} of {len(FAULTS)} faults, {formats} formats")
    print(f"{'':32}" + "".join(f"{column:>9}" for column in columns))
    for key in sorted(found):
        print(f"{key:32}" + "".join(f"{found[key][column]:9}" for column in columns))
    if "--list" in arguments:
        print(*missed, sep="\n")
        print("never planted:", *sorted(unplanted), sep="\n  ")
    return 0


def _checker(fault: Fault) -> Checker:
    return Checker(Inputs(**fault.inputs), Overrides(isolated=True, preview=True, select=(fault.code, "ALP004")))


def _planted(corpus: Path) -> Iterator[Planted]:
    for folder in sorted(path for path in corpus.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        for fault in FAULTS:
            checker, count = _checker(fault), 0
            for path in files:
                before = path.read_bytes().decode()
                text = _plant(checker, fault, str(path), before)
                if text is not None:
                    yield Planted(fault, folder.name, str(path), before, text)
                    count += 1
                    if count == _FILES:
                        break


def _plant(checker: Checker, fault: Fault, path: str, before: str) -> str | None:
    """The text with the fault, or None where it cannot be written there or the file is not quiet."""
    try:
        readings = checker.read(path, text=before)[1]
    except (DocumentError, NotAConfig):
        return None
    if len(readings) != 1 or readings[0].hand_rolled or not fault.fits(readings[0].plan, readings[0]):
        return None
    listed = fault.formats.removeprefix("-").split()
    if listed and (readings[0].format in listed) == fault.formats.startswith("-"):
        return None
    clean = checker.check(path, text=before)
    if clean is None or clean.failures or clean.diagnostics or any(item.code == fault.code for item in clean.skipped):
        return None
    if fault.text is not None:
        text = fault.text(before)
        try:
            return text if text is not None and checker.read(path, text=text)[1] else None
        except (DocumentError, NotAConfig):
            return None
    fix = Fix(fault.what, fault.changes, "unsafe")
    try:
        for edits in ways(readings[0], fix):
            text = apply(before, edits)
            if objection(readings, checker.read(path, text=text)[1], 0, fix, edits) is None:
                return text if text != before else None
    except (CannotEditError, DocumentError, NotAConfig, ValueError):
        return None
    return None


def _judge(checker: Checker, planted: Planted, done: Fixed | None) -> set[str]:
    found = checker.check(planted.path, text=planted.text)
    code = planted.fault.code
    if found is None:
        return set()
    outcome = set()
    lines = _changed(planted.before, planted.text)
    hits = [item for item in found.diagnostics if item.code == code]
    lines |= _lines_of(checker, planted)
    if code == "CFG005":  # a diff may take either of two equal lines for the new one
        lines |= {line + 1 for line in lines}
    if any(item.line in lines for item in hits):
        outcome.add("found")
    if any(item.fix is not None and item.fix.applicability != "show" for item in hits):
        outcome.add("fixable")
        if done is not None and code not in {item.code for item in done.result.diagnostics}:
            outcome.add("fixed")
            if _changed(planted.text, done.text) <= _near(planted, done) and done.result.runs:
                outcome.add("careful")
    return outcome


def _lines_of(checker: Checker, planted: Planted) -> set[int]:
    """The lines on which the planted fields stand."""
    document, readings, _, _ = checker.read(planted.path, text=planted.text)
    fields = [change.field for change in planted.fault.changes if isinstance(change, Set)]
    lines: set[int] = set()
    for field in (*fields, *planted.fault.also):
        place = readings[0].explicit(field)
        if place is not None:
            start, end = (document.position(offset).line for offset in place.span)
            lines |= set(range(document.position((place.key_span or place.span).start).line, max(start, end) + 1))
    return lines


def _changed(old: str, new: str) -> set[int]:
    """The lines of the new text that are not the old text's, and those beside a removed one."""
    lines: set[int] = set()
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag == "delete":
            lines |= {start, start + 1}
        elif tag != "equal":
            lines |= set(range(start + 1, end + 1))
    return lines


def _near(planted: Planted, done: Fixed) -> set[int]:
    """Lines that a fix may have touched: as many edits as changes, each of few lines."""
    changes = sum(len(item.fix.changes) for item in done.applied if item.fix is not None)
    changed = _changed(planted.text, done.text)
    return changed if len(changed) <= 3 * changes + 8 else set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
