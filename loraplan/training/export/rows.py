"""The part of an exported script that loads the data and gives them the columns that TRL reads."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.training import TrainingError
from loraplan_trainer.data.forms import alpaca_prompt, detect
from loraplan_trainer.data.rows import files, rows
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.manifest import DataSource

_LOADERS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
_ROLES = """\
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "system": "system", "tool": "tool", "observation": "tool", "function": "tool",
}


"""


def form_of(data: tuple[DataSource, ...]) -> str | None:
    """The form of the training data: stated, or as the first row of a local file shows it."""
    first = next(source for source in data if source.role == "train")
    if first.form is not None:
        return first.form
    try:
        if first.kind == "hub":
            return None
        row = next((row for row in rows(first) if row.value is not None), None)
    except CannotRun as error:
        raise TrainingError(str(error)) from error
    return None if row is None or row.value is None else detect(row.value)


def functions(data: tuple[DataSource, ...], plan: Plan, seed: int) -> str:
    """`example(row)` and `data()`. Raises TrainingError where the form is not known."""
    form = form_of(data)
    if form is None:
        raise TrainingError("--export script: the form of the data is not known here; --data-form names it")
    columns = next(source for source in data if source.role == "train").columns
    train = [source for source in data if source.role == "train"]
    held_out = [source for source in data if source.role == "eval"]
    return _example(form, columns, conversational=plan.data.chat_template is not None) + _data(
        train, held_out, plan, seed
    )


def _example(form: str, columns: dict[str, str], *, conversational: bool) -> str:
    def column(name: str) -> str:
        return repr(columns.get(name, name))

    match form:
        case "prompt_completion":
            prompts = [columns[name] for name in ("prompt",) if name in columns] or ["prompt", "question", "query"]
            answers = [columns[name] for name in ("completion",) if name in columns]
            return _body(
                f'    return {{"prompt": first(row, {prompts!r}),'
                f' "completion": first(row, {answers or ["completion", "response", "answer"]!r})}}',
                first=True,
            )
        case "text":
            names = [columns["text"]] if "text" in columns else ["text", "content"]
            return _body(f'    return {{"text": first(row, {names!r})}}', first=True)
        case "messages" | "sharegpt":
            names = [columns["messages"]] if "messages" in columns else ["messages", "conversations", "conversation"]
            return _ROLES + _body(
                f"    turns = first(row, {names!r})\n"
                '    return {"messages": [\n'
                '        {"role": ROLES[turn.get("role") or turn["from"]], '
                '"content": turn["value"] if turn.get("content") is None else turn["content"]}\n'
                "        for turn in turns\n    ]}",
                first=True,
            )
        case "preference":
            return _body(
                '    return {"prompt": row["prompt"], '
                f'"chosen": row[{column("chosen")}], "rejected": row[{column("rejected")}]}}'
            )
        case "alpaca":
            both = f"row[{column('instruction')}], row.get({column('input')}) or ''"
            answer = f"row[{column('output')}]"
            if conversational:
                return _body(
                    f'    asked = "\\n".join(part for part in ({both}) if part)\n'
                    f'    return {{"messages": [{{"role": "user", "content": asked}}, '
                    f'{{"role": "assistant", "content": {answer}}}]}}'
                )
            return f"ALPACA = {alpaca_prompt('%(instruction)s')!r}\nALPACA_INPUT = " + (
                f"{alpaca_prompt('%(instruction)s', '%(input)s')!r}\n\n\n"
                + _body(
                    f"    instruction, extra = {both}\n"
                    "    wording = ALPACA_INPUT if extra else ALPACA\n"
                    '    return {"prompt": wording % {"instruction": instruction, "input": extra}, '
                    f'"completion": {answer}}}'
                )
            )
    raise TrainingError(f"--export script: rows of the form {form} are not written out")


def _body(text: str, *, first: bool = False) -> str:
    helper = (
        "def first(row, names):\n    return next(row[name] for name in names if row.get(name) is not None)\n\n\n"
        if first
        else ""
    )
    return f"{helper}def example(row):\n{text}\n\n\n"


def _data(train: list[DataSource], held_out: list[DataSource], plan: Plan, seed: int) -> str:
    lines = ["def data():"]
    lines += [f"    train = {_joined([_load(source, plan.data.max_samples) for source in train])}"]
    lines += ["    train = train.map(example, remove_columns=train.column_names)"]
    size = plan.data.val_size
    if held_out:
        lines += [f"    evaluation = {_joined([_load(source, None) for source in held_out])}"]
        lines += ["    evaluation = evaluation.map(example, remove_columns=evaluation.column_names)"]
        lines += ["    return train, evaluation"]
    elif size:
        count = f"{int(size)}" if size >= 1 else f"max(1, round(len(train) * {size!r}))"
        lines += [
            f"    chosen = set(random.Random({seed}).sample(range(len(train)), {count}))",
            "    kept = [index for index in range(len(train)) if index not in chosen]",
            "    return train.select(kept), train.select(sorted(chosen))",
        ]
    else:
        lines += ["    return train, None"]
    return "\n".join(lines) + "\n"


def _joined(loads: list[str]) -> str:
    if len(loads) == 1:
        return loads[0]
    raise TrainingError("--export script: one training and one held-out data set are written out, this run has more")


def _load(source: DataSource, most: int | None) -> str:
    if source.kind == "hub":
        split = source.split or ("train" if source.role == "train" else "validation")
        words = [repr(source.source), *([repr(source.subset)] if source.subset else []), f"split={split!r}"]
        loaded = f"load_dataset({', '.join(words)})"
    else:
        try:
            paths = [str(path) for path in files(source)]
        except CannotRun as error:
            raise TrainingError(str(error)) from error
        kinds = {_LOADERS.get(path[path.rfind(".") :]) for path in paths}
        if len(kinds) != 1 or None in kinds:
            raise TrainingError(
                f"--export script: {source.source} is of a kind that load_dataset does not read as it is"
            )
        loaded = f"load_dataset({kinds.pop()!r}, data_files={paths!r}, split='train')"
    return loaded if most is None else f"{loaded}.take({most})"
