"""The course of `loraplan train`, once the config is checked: prepare, write the manifest, launch, watch, report."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from loraplan import atomic
from loraplan.engine import Checker
from loraplan.formats.reading import Reading
from loraplan.training import TrainingError, directory, launch
from loraplan.training.assembly import Choices, manifest
from loraplan.training.display import for_stream
from loraplan.training.export import accelerate, write_exports
from loraplan.training.follow import Follower
from loraplan.training.hardware import Card, cards
from loraplan.training.launch import Nodes
from loraplan.training.outcome import differences
from loraplan.training.overrides import Override
from loraplan.training.prediction import gib
from loraplan.training.prepare import Asked, Prepared, missing, prepare, select
from loraplan.training.trackers import Asked as Report
from loraplan_trainer import failure
from loraplan_trainer import manifest as manifests
from loraplan_trainer.events import End, Start
from loraplan_trainer.manifest import Manifest, ManifestError

STOPPED = 1
_WAIT_SECONDS = 600
"""For the first machine's manifest."""


@dataclass(frozen=True)
class Wishes:
    """The command line of `loraplan train`, beside the check's part of it."""

    output_dir: str | None = None
    overwrite: bool = False
    resume: bool = False
    dry_run: bool = False
    force: bool = False
    model: str | None = None
    data: tuple[str, ...] = ()
    eval_data: tuple[str, ...] = ()
    data_form: str | None = None
    skip_broken: bool = False
    stream: bool | None = None
    seed: int | None = None
    max_steps: int | None = None
    merge: bool = False
    device: str = "auto"
    processes: int | None = None
    nodes: int = 1
    node_rank: int = 0
    rendezvous: str | None = None
    prompts: tuple[str, ...] | None = None
    report_to: tuple[Report, ...] = ()
    run: str | None = None
    export: tuple[str, ...] = ()
    plain: bool = False
    quiet: bool = False
    summary: bool = True
    """The result in a few lines on standard output."""
    sample_tokens: int = 64


def train(checker: Checker, readings: list[Reading], wishes: Wishes) -> int:
    """Train, export or rehearse; the exit code. Raises TrainingError."""
    reading = select(readings, wishes.run)
    if wishes.nodes > 1 and wishes.node_rank > 0 and not wishes.export:
        return _join(wishes)
    needed = missing()
    if needed and not wishes.export:
        raise TrainingError(f"training needs {', '.join(needed)}: pip install 'loraplan[train]'")
    here = cards()
    prepared = prepare(checker, reading, _asked(wishes), here)
    if wishes.export:
        return write_exports(
            prepared, wishes.export, wishes.output_dir, Nodes(wishes.nodes), _choices(prepared, wishes)
        )
    _say_plan(prepared, here, wishes)
    if prepared.prediction.fits is False and not wishes.force:
        return _too_large(prepared, here[0])
    if wishes.dry_run:
        return _rehearse(prepared, wishes)
    if wishes.resume:
        return _resume(prepared, wishes)
    place = directory.create(wishes.output_dir, Path(reading.document.path).stem, overwrite=wishes.overwrite)
    made = manifest(
        prepared.reading, prepared.plan, prepared.said, prepared.data, place, _choices(prepared, wishes),
        prepared.prediction,
    )  # fmt: skip
    return _go(prepared, made, wishes)


def _asked(wishes: Wishes) -> Asked:
    overrides = []
    if wishes.seed is not None:
        overrides.append(Override("run.seed", wishes.seed, "--seed"))
    if wishes.max_steps is not None:
        overrides.append(Override("schedule.max_steps", wishes.max_steps, "--max-steps"))
    return Asked(
        model=wishes.model,
        overrides=overrides,
        data=wishes.data,
        eval_data=wishes.eval_data,
        data_form=wishes.data_form,
        device=wishes.device,
        processes=wishes.processes,
        nodes=wishes.nodes,
        anywhere=bool(wishes.export),
        prompts=wishes.prompts,
        report_to=wishes.report_to,
    )


def _choices(prepared: Prepared, wishes: Wishes) -> Choices:
    return Choices(
        device=prepared.situation.device,
        processes=prepared.situation.processes,
        dry_run=wishes.dry_run,
        merge=wishes.merge,
        skip_broken=wishes.skip_broken,
        stream=wishes.stream,
        sample_prompts=prepared.prompts,
        sample_tokens=wishes.sample_tokens,
        tracking=prepared.tracking,
    )


def _say_plan(prepared: Prepared, here: tuple[Card, ...], wishes: Wishes) -> None:
    if wishes.quiet:
        return
    for note in prepared.notes:
        _say(f"note: {note}")
    if prepared.situation.device == "cuda":
        used = here[: max(1, prepared.situation.processes // wishes.nodes)]
        _say(f"device: {len(used)} x {here[0].name}, {gib(here[0].total)} each, {gib(here[0].used)} in use")
    _say(f"memory: {prepared.prediction.words}")


def _too_large(prepared: Prepared, card: Card) -> int:
    _say(
        f"not trained: it will not fit on the {card.name}, of which {gib(card.total - card.used)} are free", error=True
    )
    for line in prepared.prediction.suggestions:
        _say(f"  would fit: {line}", error=True)
    _say("--force trains all the same", error=True)
    return STOPPED


def _go(prepared: Prepared, made: Manifest, wishes: Wishes) -> int:
    """Write the manifest, launch, and report what came of it."""
    words = write(prepared, made, Nodes(wishes.nodes, wishes.node_rank, wishes.rendezvous))
    follower = Follower(made.directory)
    if made.resume:
        follower.skip()
    if not wishes.quiet:
        _say(f"run: {_short(made.directory)}")
        _say(f"launch: {launch.shown(words)}")
    code = _watch(words, made, follower, wishes)
    if code and made.processes > 1:
        code = _own_code(made.directory, code)  # a launcher has its own, whatever its processes ended with
    if not made.dry_run:
        _report(made.directory, wishes)
    if code == failure.BUG or (code and not _said_why(made.directory)):
        for line in launch.tail(made.directory):
            _say(line, error=True)
    return code


def write(prepared: Prepared, made: Manifest, nodes: Nodes) -> list[str]:
    """Put the manifest, and accelerate's config where its launcher is used, in place; the launch command.

    Raises TrainingError.
    """
    words = launch.command(made.directory, made.processes, cpu=made.device == "cpu", nodes=nodes)
    try:
        manifests.write(made, made.directory / manifests.FILE_NAME)
        if made.processes > 1:
            text = accelerate.config(prepared.plan, prepared.situation, nodes)
            atomic.write(str(made.directory / launch.ACCELERATE), text)
    except OSError as error:
        raise TrainingError(f"{made.directory}: cannot be written ({error.strerror})") from error
    return words


def _watch(words: list[str], made: Manifest, follower: Follower, wishes: Wishes) -> int:
    cpu = made.device == "cpu"
    if wishes.quiet:
        return launch.run(words, made.directory, follower, lambda _event: None, cpu=cpu)
    with for_stream(sys.stdout, plain=wishes.plain) as display:
        return launch.run(words, made.directory, follower, display.show, cpu=cpu)


def _rehearse(prepared: Prepared, wishes: Wishes) -> int:
    """Everything up to the first step, in a directory that is removed again."""
    with tempfile.TemporaryDirectory(prefix="loraplan-") as place:
        choices = _choices(prepared, wishes)
        made = manifest(
            prepared.reading, prepared.plan, prepared.said, prepared.data, Path(place), choices, prepared.prediction
        )
        code = _go(prepared, made, wishes)
    if code == failure.DONE and not wishes.quiet:
        _say("dry run: everything up to the first step works")
    return code


def _resume(prepared: Prepared, wishes: Wishes) -> int:
    """Continue a run as it was begun; a config that changed since is refused, unless --force says otherwise."""
    place = directory.existing(wishes.output_dir, prepared.reading.document.path)
    try:
        begun = manifests.read(place / manifests.FILE_NAME)
    except ManifestError as error:
        raise TrainingError(str(error)) from error
    changed = differences(begun.plan, prepared.plan)
    if changed and not wishes.force:
        listed = "\n  ".join(f"{name}: {old} -> {new}" for name, old, new in changed)
        raise TrainingError(
            f"{place}: the config says otherwise than when this run began; start a new run, or --force resumes it "
            f"as it was begun:\n  {listed}"
        )
    made = begun.model_copy(
        update={"resume": True, "device": prepared.situation.device, "processes": prepared.situation.processes}
    )
    return _go(replace(prepared, plan=begun.plan), made, wishes)


def _join(wishes: Wishes) -> int:
    """A further machine of a run: wait for the first one's manifest, then start this machine's processes."""
    if wishes.output_dir is None:
        raise TrainingError("--node-rank above 0 needs --output-dir: the run directory that the first machine made")
    place = Path(wishes.output_dir).absolute()
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (place / manifests.FILE_NAME).is_file() or not (place / launch.ACCELERATE).is_file():
        if time.monotonic() > deadline:
            raise TrainingError(f"{wishes.output_dir}: the first machine has written no manifest there")
        time.sleep(0.5)
    try:
        made = manifests.read(place / manifests.FILE_NAME)
    except ManifestError as error:
        raise TrainingError(str(error)) from error
    nodes = Nodes(wishes.nodes, wishes.node_rank, wishes.rendezvous)
    words = launch.command(place, made.processes, cpu=made.device == "cpu", nodes=nodes)
    follower = Follower(place)
    return launch.run(
        words, place, follower, lambda _event: None, cpu=made.device == "cpu", output=f"output-{wishes.node_rank}.txt"
    )


def _report(place: Path, wishes: Wishes) -> None:
    from loraplan.training.report import write as write_report

    try:
        lines = write_report(place)
    except OSError as error:
        _say(f"{place}: the report cannot be written ({error.strerror})", error=True)
        return
    for line in lines if wishes.summary else ():
        _say(line)
    if not wishes.quiet:
        _say(f"report: {_short(place / 'report.html')}")


def _own_code(place: Path, launchers: int) -> int:
    """The exit code that the main process wrote down; the launcher's where it could not."""
    last = None
    for event in Follower(place).new():
        last = event.exit_code if isinstance(event, End) else None if isinstance(event, Start) else last
    return launchers if last is None else last


def _said_why(place: Path) -> bool:
    return any(event.event in ("error", "end") for event in Follower(place).new())


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _say(text: str, *, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()
