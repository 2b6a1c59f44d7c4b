"""One signal stops after the step, a second Ctrl-C at once; what a launcher passes on twice counts once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from loraplan_trainer import signals
from loraplan_trainer.signals import Interrupted, Signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def made() -> Signals:
    taken = Signals()
    taken.install()
    return taken


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_waits_while_training(number: signal.Signals, code: int) -> None:
    taken = made()
    taken.training(active=True)
    send(number)
    assert (taken.received, taken.exit_code) == (number, code)


def test_outside_training_there_is_nothing_to_wait_for() -> None:
    made()
    with pytest.raises(Interrupted):
        send(signal.SIGTERM)


def test_a_second_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "IMPATIENT", -1.0)
    taken = made()
    taken.training(active=True)
    send(signal.SIGINT)
    with pytest.raises(Interrupted):
        send(signal.SIGINT)
    send(signal.SIGTERM)


def test_the_same_signal_passed_on_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = made()
    taken.training(active=True)
    send(signal.SIGINT)
    send(signal.SIGINT)
    monkeypatch.setattr(signals, "IMPATIENT", -1.0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    launched = made()
    launched.training(active=True)
    send(signal.SIGINT)
    send(signal.SIGINT)
    assert (taken.received, launched.received) == (signal.SIGINT, signal.SIGINT)
