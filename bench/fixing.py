"""What fixing does to real configs: every rule's fixes on a copy of every file, and every field that a fix may set.

    python bench/fixing.py CORPUS [SECONDS]

CORPUS is a folder with one folder a format. Every file is fixed as `check --fix --unsafe-fixes` does, with all rules
and once more with each rule by itself; then fields are set to values and, for SECONDS, in random series. After each,
the file as it was is compared with the file as it is: every field that `loraplan show` prints, comments, line endings.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from loraplan.cli import main as command
from loraplan.context import Inputs
from loraplan.document import DocumentError
from loraplan.document.comments import every_comment
from loraplan.engine import Checker, Overrides
from loraplan.fixing import fix_text
from loraplan.fixing.one import Made, make
from loraplan.fixing.verify import same
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.origin import Default, Derived, Explicit
from loraplan.plan import get, ordered_names
from loraplan.result import Diagnostic
from loraplan.rule import Fix, Remove, RenameKey, Set

_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
VALUES: dict[str, tuple[Any, ...]] = {
    "adapter.r": (24, 1), "adapter.alpha": (48, 16), "adapter.dropout": (0.07, 0.0), "adapter.bias": ("none",),
    "adapter.target_modules": ("all-linear", _LINEAR, ("q_proj", "v_proj"), ("qkv_proj", "o_proj")),
    "adapter.exclude_modules": (("lm_head",),), "adapter.modules_to_save": (("embed_tokens", "lm_head"),),
    "adapter.task_type": ("CAUSAL_LM",), "adapter.init": ("pissa",), "adapter.rank_pattern": ({"q_proj": 8},),
    "adapter.fan_in_fan_out": (True, False), "adapter.use_rslora": (True, False),
    "quantization.compute_dtype": ("bfloat16",), "quantization.quant_type": ("nf4",),
    "quantization.quant_storage": ("bfloat16",), "quantization.double_quant": (True, False),
    "precision.bf16": (True, False), "precision.fp16": (True, False), "precision.use_reentrant": (True, False),
    "precision.gradient_checkpointing": (True, False), "optimizer.learning_rate": (0.00017, 1e-3, 2e-5),
    "optimizer.weight_decay": (0.013, 0.0), "optimizer.max_grad_norm": (0.9, 1.0), "optimizer.name": ("adamw_torch",),
    "schedule.warmup_steps": (37, 0), "schedule.warmup_ratio": (0.037,), "schedule.epochs": (2, 0.5),
    "schedule.name": ("cosine", "linear", "constant_with_warmup"), "schedule.max_steps": (500,),
    "batch.micro_batch_size": (3,), "batch.gradient_accumulation_steps": (5,), "model.dtype": ("bfloat16", "float16"),
    "model.trust_remote_code": (False,), "model.name": ("acme/Other-7B",), "data.max_length": (1234,),
    "data.packing": (True, False), "run.seed": (123,), "run.output_dir": ("out/x",),
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print what was done and what was wrong; exit code 1 if anything was."""
    corpus = Path(arguments[0])
    seconds = float(arguments[1]) if len(arguments) > 1 else 60.0
    files = sorted(path for path in corpus.glob("*/*") if path.is_file())
    count: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(Inputs(), Overrides(isolated=True, preview=True, select=("ALL",)))
        texts = {path: path.read_bytes().decode() for path in files}
        runs = {path: found for path, text in texts.items() if (found := _runs(checker, path, text))}
        for path in runs:
            wrong += _all_rules(checker, path, texts[path], count)
            wrong += _command(Path(folder), path, texts[path], count)
        for path, readings in runs.items():
            wrong += _fields(checker, path, readings, count)
        wrong += _series(checker, {path: texts[path] for path in runs}, seconds, count)
    print(f"{len(files)} files, {len(runs)} configs of {len({item[0].format for item in runs.values()})} formats")
    for what in sorted(count):
        print(f"{count[what]:7}  {what}")
    print(f"{len(wrong):7}  wrong")
    print(*wrong[:40], sep="\n")
    return int(bool(wrong))


def _runs(checker: Checker, path: Path, text: str) -> list[Reading]:
    try:
        return checker.read(str(path), text=text)[1]
    except (DocumentError, NotAConfig):
        return []


def _all_rules(checker: Checker, path: Path, text: str, count: Counter[str]) -> Iterator[str]:
    """All rules together, then each rule that found something by itself."""
    found = checker.check(str(path), text=text)
    codes = sorted({item.code for item in found.diagnostics if item.fix is not None}) if found is not None else []
    for select in (("ALL",), *((code,) for code in codes)):
        own = Checker(checker.inputs, Overrides(isolated=True, preview=True, select=select))
        done = fix_text(own, str(path), text, unsafe=True)
        if done is None:
            continue
        for item in done.broken:
            yield f"{path.name}: {item.finding.code}: {item.reason}"
        count["fixes of rules"] += len(done.applied)
        count["fixes of rules refused"] += len(done.refused)
        fixes = [item.fix for item in done.applied if item.fix is not None]
        yield from _compare(own, path, text, done.text, fixes)
        again = fix_text(own, str(path), done.text, unsafe=True)
        if again is None or again.text != done.text:
            yield f"{path.name}: fixing once more changes the file again"


def _command(folder: Path, path: Path, text: str, count: Counter[str]) -> Iterator[str]:
    """The command itself, on a copy on disk."""
    copy = folder / path.parent.name / path.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(text.encode())
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            command(["fix", "--unsafe-fixes", "--quiet", "--isolated", "--fail-on", "info", str(copy)])
    except SystemExit as ended:
        count[f"command ended with {ended.code}"] += 1
    leftover = [item.name for item in copy.parent.iterdir() if item != copy and item.stem.startswith(".")]
    if leftover:
        yield f"{path.name}: left behind {leftover}"


def _fields(checker: Checker, path: Path, readings: list[Reading], count: Counter[str]) -> Iterator[str]:
    for field, values in VALUES.items():
        for value in values:
            yield from _set(checker, path, readings, Fix("set it", (Set(field, value),), "unsafe"), count)[1]
        if field not in ("model.name", "optimizer.name") and readings[0].explicit(field) is not None:
            yield from _set(checker, path, readings, Fix("remove it", (Remove(field),), "unsafe"), count)[1]


def _set(
    checker: Checker, path: Path, readings: list[Reading], fix: Fix, count: Counter[str]
) -> tuple[str | None, list[str]]:
    span, run, text = readings[0].root.span, readings[0].name, readings[0].document.text
    item = Diagnostic(str(path), 1, 1, "X", "x", "info", "", 1, 1, span, "", "", None, None, None, fix, "", run)
    made = make(readings, item, lambda new: checker.read(str(path), text=new)[1])
    if isinstance(made, Made):
        count["fields set"] += 1
        return made.text, list(_compare(checker, path, text, made.text, [fix]))
    count["fields refused"] += 1
    return None, [f"{path.name}: {fix.changes}: {made.reason}"] if made.broken else []


def _series(checker: Checker, texts: dict[Path, str], seconds: float, count: Counter[str]) -> Iterator[str]:
    """Several changes one after the other, and several at once, at random, with the line endings of either kind."""
    draw = random.Random(7)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        path = draw.choice(sorted(texts))
        text = texts[path]
        if draw.random() < 0.3:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        if draw.random() < 0.2:
            text = text.rstrip("\r\n")
        for _ in range(draw.randint(1, 6)):
            readings = _runs(checker, path, text)
            if not readings:
                break
            fields = draw.sample(sorted(VALUES), draw.choice((1, 1, 2, 3)))
            fix = Fix("set them", tuple(Set(field, draw.choice(VALUES[field])) for field in fields), "unsafe")
            new, wrong = _set(checker, path, readings, fix, count)
            yield from wrong
            text = new or text
        count["random series"] += 1


def _compare(checker: Checker, path: Path, before: str, after: str, fixes: list[Fix]) -> Iterator[str]:
    """What differs between a file and its fixed copy that no fix speaks of."""
    if before == after:
        return
    old, new = _runs(checker, path, before), _runs(checker, path, after)
    if [item.format for item in old] != [item.format for item in new]:
        yield f"{path.name}: read as something else"
        return
    lost = Counter(text for _, text in every_comment(old[0].document))
    lost -= Counter(text for _, text in every_comment(new[0].document))
    if lost:
        yield f"{path.name}: lost {list(lost)}"
    if before.count("\n") == before.count("\r\n") and after.count("\n") != after.count("\r\n"):
        yield f"{path.name}: mixed line endings"
    changes = [change for fix in fixes for change in fix.changes]
    named = {change.field for change in changes if not isinstance(change, RenameKey)}
    renamed = any(isinstance(change, RenameKey) for change in changes)
    for one, two in zip(old, new, strict=True):
        keys = {place.key_path for name in named for run in (one, two) if (place := run.explicit(name)) is not None}
        for name in ordered_names():
            if name in named or same(get(one.plan, name), get(two.plan, name)) or renamed:
                continue
            was, now = one.origins.get(name), two.origins.get(name)
            places = [origin.key_path for origin in (was, now) if isinstance(origin, Explicit)]
            if any(isinstance(origin, Derived) for origin in (was, now)) or keys.intersection(places):
                continue  # follows from other fields, or is another meaning of a key that was named
            if name.startswith("schedule.") and any(other.startswith("schedule.warmup") for other in named):
                continue  # steps and ratio stand for each other, and a constant rate that warms up has another name
            if was is None and isinstance(now, Default):
                continue  # what the framework then fills in, e.g. a warm-up once another is removed
            if name == "adapter.alpha" and "adapter.r" in named and not places:
                continue  # LLaMA-Factory's and Ludwig's default is twice the rank
            yield f"{path.name}: {name} {get(one.plan, name)!r} -> {get(two.plan, name)!r} by {fixes[:3]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
