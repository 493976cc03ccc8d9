"""Progress where there is no terminal."""

import io

import pytest

from hat.cli import progress
from hat.cli.progress import Terminal, duration


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_line_every_ten_seconds_with_eta(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "time", clock)
    with Terminal(stream).working("train") as report:
        for done in range(50, 81):
            report(done, 100, f"loss {done}")
            clock.now += 1
    assert stream.getvalue().splitlines() == [
        "train:  60%  ETA 40.0 s  loss 60",
        "train:  70%  ETA 30.0 s  loss 70",
        "train:  80%  ETA 20.0 s  loss 80",
        "train: done in 31.0 s",
    ]


def test_a_step_that_fails_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="x"), Terminal(stream).working("train"):
        raise ValueError("x")
    assert stream.getvalue() == ""


def test_durations() -> None:
    assert [duration(seconds) for seconds in (3.44, 63, 3725)] == ["3.4 s", "1:03", "1:02:05"]
