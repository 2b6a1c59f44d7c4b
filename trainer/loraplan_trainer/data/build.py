"""The data sets that the trainer is given, and what is known of them before the first step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal

from loraplan_trainer.data.encode import Encoder, mask
from loraplan_trainer.data.forms import Broken, Example, Preference, Reader, describe, detect
from loraplan_trainer.data.rows import Row, files, rows
from loraplan_trainer.data.tally import Tally
from loraplan_trainer.events import DataStatistics, Event, Warned
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.fields.examples import PACKING
from loraplan_trainer.manifest import DataSource, Manifest

SAMPLED = 1000
"""Rows of streamed data that the statistics are of."""
SHUFFLE = 1000
"""Rows of streamed data among which the next one is drawn."""
_BATCH = 1000

Role = Literal["train", "eval"]
Report = Callable[[Event], None]


@dataclass(frozen=True)
class Prepared:
    """Data sets as datasets.Dataset, or IterableDataset where they are streamed."""

    train: Any
    evaluation: Any | None
    rows: int
    """Training examples of one epoch."""
    streamed: bool
    form: str
    """Of the first training data."""
    conversational: bool
    """A chat template applies."""


def prepare(manifest: Manifest, tokenizer: Any, report: Report) -> Prepared:
    """Read, check, encode and count the data; every figure goes to `report`. Raises CannotRun."""
    return _Preparation(manifest, tokenizer, report).run()


class _Preparation:
    def __init__(self, manifest: Manifest, tokenizer: Any, report: Report) -> None:
        self._manifest = manifest
        self._plan = manifest.plan
        self._tokenizer = tokenizer
        self._encoder = Encoder(tokenizer, mask(manifest.plan))
        self._report = report
        self._pairs = manifest.plan.method == "dpo"
        self._form = ""

    def run(self) -> Prepared:
        train = self._sources("train")
        if not train:
            raise CannotRun("the manifest names no training data; give data with role train")
        if self._streams(train):
            return self._stream(train)
        table = self._table("train", train)
        held_out = self._sources("eval")
        size = self._plan.data.val_size
        if held_out:
            return self._prepared(_dataset(table), _dataset(self._table("eval", held_out)), table.num_rows)
        if not size:
            return self._prepared(_dataset(table), None, table.num_rows)
        kept, split = _split(table.num_rows, size, self._manifest.seed)
        return self._prepared(_dataset(table.take(kept)), _dataset(table.take(split)), len(kept))

    def _prepared(self, train: Any, evaluation: Any, count: int, *, streamed: bool = False) -> Prepared:
        template = self._plan.data.chat_template is not None
        conversational = self._form in {"messages", "sharegpt"} or (template and self._form == "alpaca")
        return Prepared(train, evaluation, count, streamed, self._form, conversational)

    def _sources(self, role: Role) -> list[DataSource]:
        return [source for source in self._manifest.data if source.role == role]

    def _streams(self, sources: list[DataSource]) -> bool:
        if self._manifest.stream is not None:
            return self._manifest.stream
        size = sum(file.stat().st_size for source in sources if source.kind != "hub" for file in files(source))
        return size > _free_memory() / 2

    def _tally(self, role: Role, report: Report | None = None) -> Tally:
        data = self._plan.data
        cuts = not data.packing or PACKING.get(data.packing_strategy or "bfd") == "bfd"
        return Tally(role, data.max_length, report or self._report, cuts=cuts)

    def examples(self, source: DataSource, tally: Tally, *, stream: bool = False) -> Iterator[tuple[Row, Example]]:
        """The good rows of a source as examples; broken ones are counted. Raises CannotRun."""
        reader: Reader | None = None
        cap = self._plan.data.max_samples if source.role == "train" else None
        for row in islice(rows(source, stream=stream), cap):
            if row.value is None:
                tally.add_broken(row, row.fault or "no row")
                continue
            if reader is None:
                reader = self._reader(source, row)
                tally.forms.add(reader.form)
            try:
                example = reader.read(row.value)
            except Broken as error:
                tally.add_broken(row, str(error))
                continue
            yield row, example

    def _reader(self, source: DataSource, row: Row) -> Reader:
        form = source.form or detect({**(row.value or {}), **dict.fromkeys(source.columns, True)})
        if form is None:
            raise CannotRun(
                f"{row.place}: of no known form; it has {', '.join(map(repr, row.value or ()))}. Known: {describe()}; "
                "map other names with the data source's `columns`"
            )
        if self._pairs != (form == "preference"):
            what = "DPO needs preference pairs" if self._pairs else "preference pairs train DPO only"
            raise CannotRun(f"{row.place}: {what}; the rows are of form {form}")
        if self._plan.method == "pt" and form != "text":
            raise CannotRun(f"{row.place}: method pt trains on plain text; the rows are of form {form}, use sft")
        if self._plan.data.completion_only_loss and form in ("messages", "sharegpt"):
            self._report(Warned(text="completion_only_loss has no meaning for conversations; set assistant_only_loss"))
        self._form = self._form or form
        conversational = self._plan.data.chat_template is not None
        return Reader(source, form, conversational=conversational)

    def encode(self, row: Row, example: Example, tally: Tally) -> dict[str, Any] | None:
        """The columns of an example, counted; None where it is broken after all."""
        try:
            if isinstance(example, Preference):
                tally.add_length(*self._encoder.lengths(example))
                columns: dict[str, Any] = asdict(example)
            else:
                encoded = self._encoder.encode(example)
                tally.add(encoded)
                columns = {"input_ids": encoded.input_ids, "labels": encoded.labels}
        except Broken as error:
            tally.add_broken(row, str(error))
            return None
        if tally.example is None:
            text = self._tokenizer.decode(columns["input_ids"]) if "input_ids" in columns else repr(columns)
            tally.example = text[:2000]
        return columns

    def _table(self, role: Role, sources: list[DataSource]) -> Any:
        """All examples of one role as an Arrow table. Raises CannotRun."""
        import pyarrow as pa

        tally = self._tally(role)
        batches: list[Any] = []
        pending: list[dict[str, Any]] = []
        for source in sources:
            for row, example in self.examples(source, tally):
                columns = self.encode(row, example, tally)
                if columns is not None:
                    pending.append(columns)
                if len(pending) >= _BATCH:
                    batches.append(pa.Table.from_pylist(pending, schema=self._schema()))
                    pending = []
        self._account(tally, tuple(source.source for source in sources))
        batches.append(pa.Table.from_pylist(pending, schema=self._schema()))
        return pa.concat_tables(batches, promote_options="permissive")

    def _schema(self) -> Any:
        import pyarrow as pa

        if self._pairs:
            return None
        return pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int64()))])

    def _account(self, tally: Tally, sources: tuple[str, ...], *, sampled: bool = False) -> DataStatistics:
        """Report the figures; stop on broken rows where the policy says so, and on data that hold nothing."""
        if self._manifest.broken_rows == "stop":
            tally.refuse_broken()
        figures = tally.statistics(sources, pairs=self._pairs, sampled=sampled)
        self._report(figures)
        named = ", ".join(sources)
        if not tally.rows:
            raise CannotRun(f"{named}: no row holds an example ({tally.broken_count} are broken)")
        if tally.empty == tally.rows and not self._pairs:
            raise CannotRun(
                f"{named}: after the cut at data.max_length {tally.cap} no row has a token that the loss sees; "
                "raise data.max_length"
            )
        if tally.empty:
            self._report(Warned(text=f"{tally.empty} of {tally.rows} rows have no token that the loss sees: left out"))
        return figures

    def _stream(self, sources: list[DataSource]) -> Prepared:
        """Training data that are read again in every epoch; held-out data are kept in memory."""
        import datasets

        if self._pairs:
            raise CannotRun("DPO data are not streamed; set stream to false, or use smaller files")
        if self._plan.data.val_size and not self._sources("eval"):
            raise CannotRun("streamed data cannot be split; name held-out data of their own instead of data.val_size")
        tally = self._tally("train")
        total = 0
        for source in sources:
            for row, example in self.examples(source, tally, stream=True):
                total += 1
                if total <= SAMPLED:
                    self.encode(row, example, tally)
        self._account(tally, tuple(source.source for source in sources), sampled=True)
        features = datasets.Features(
            {"input_ids": datasets.List(datasets.Value("int32")), "labels": datasets.List(datasets.Value("int64"))}
        )
        stream = datasets.IterableDataset.from_generator(self._generate, features=features)
        held_out = self._sources("eval")
        evaluation = _dataset(self._table("eval", held_out)) if held_out else None
        return self._prepared(stream, evaluation, total, streamed=True)

    def _generate(self) -> Iterator[dict[str, Any]]:
        """Epoch after epoch without end, each in an order of its own, so that to resume is to pass over rows."""
        seed = self._manifest.seed if self._plan.run.data_seed is None else self._plan.run.data_seed
        buffer = 0 if self._plan.data.sampling == "sequential" else SHUFFLE
        for epoch in count():
            shuffled = random.Random(f"{seed}/{epoch}")  # noqa: S311 - an order is no secret
            waiting: list[dict[str, Any]] = []
            seen = False
            for columns in self._once():
                seen = True
                waiting.append(columns)
                if len(waiting) > buffer:
                    yield waiting.pop(shuffled.randrange(len(waiting)))
            if not seen:
                raise CannotRun("the streamed data hold no example any more; put them back and resume")
            shuffled.shuffle(waiting)
            yield from waiting

    def _once(self) -> Iterator[dict[str, Any]]:
        """The examples that have a token in the loss; broken rows were reported when they were counted."""
        tally = self._tally("train", report=lambda _: None)
        for source in self._sources("train"):
            for row, example in self.examples(source, tally, stream=True):
                columns = self.encode(row, example, tally)
                if columns is not None:
                    yield columns


def _dataset(table: Any) -> Any:
    from datasets import Dataset

    return Dataset(table)


def _split(total: int, size: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices kept for training and those split off, both in file order. Raises CannotRun."""
    held_out = int(size) if size >= 1 else max(1, round(total * size))
    if held_out >= total:
        raise CannotRun(f"data.val_size {size:g} leaves nothing of {total} rows to train on; make it smaller")
    chosen = set(random.Random(seed).sample(range(total), held_out))  # noqa: S311 - a split is no secret
    return [index for index in range(total) if index not in chosen], sorted(chosen)


def _free_memory() -> int:
    """Bytes that a new process could use; where the system does not say, none is assumed to lack."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 1 << 62
