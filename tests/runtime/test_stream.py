"""translate_stream: in order, bounded, prompt, and no thread left behind."""

import itertools
import queue
import threading
from collections.abc import Iterator

import pytest

from hat.errors import HatError, UserError
from hat.runtime import Translator
from hat.runtime.translator import translator
from tests.runtime.echo import Echo
from tests.runtime.tiny_tokenizer import LINES

PATIENCE = 10  # seconds until a test that waits fails


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "hat-read-ahead":
            thread.join(PATIENCE)
            assert not thread.is_alive()


class Fed:
    """A source of lines that the test gives one by one."""

    def __init__(self) -> None:
        self.lines: queue.Queue[str | None] = queue.Queue()

    def __iter__(self) -> Iterator[str]:
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            yield line


def test_lazy_and_bounded(speaking: Translator) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for taken in itertools.count(1):
            yield LINES[taken % 4]

    stream = speaking.translate_stream(endless(), batch=2)
    assert taken == 0
    found = [str(translation) for translation in itertools.islice(stream, 50)]
    assert found == [LINES[index % 4] for index in range(1, 51)]
    assert taken <= 50 + 2 * translator.WINDOW_BATCHES
    del stream


def test_a_slow_source_is_answered_line_by_line(speaking: Translator, echo: Echo) -> None:
    source = Fed()
    stream = speaking.translate_stream(source, batch=16)
    for line in [*LINES, ""]:
        source.lines.put(line)
        assert str(next(stream)) == line
    source.lines.put(None)
    assert list(stream) == []
    assert [len(batch) for batch in echo.batches] == [1] * 4


def test_what_is_there_is_decoded_together(speaking: Translator, echo: Echo) -> None:
    lines = LINES * 10
    found = [str(translation) for translation in speaking.translate_stream(iter(lines), batch=8)]
    assert found == lines
    assert max(len(batch) for batch in echo.batches) > 1
    assert max(len(batch) for batch in echo.batches) <= 8


def test_an_error_of_the_source_comes_after_the_lines_before_it(speaking: Translator) -> None:
    def failing() -> Iterator[str]:
        yield from LINES
        raise HatError("the network is gone")

    stream = speaking.translate_stream(failing())
    assert [str(next(stream)) for _ in LINES] == LINES
    with pytest.raises(HatError, match="the network is gone"):
        next(stream)


@pytest.mark.parametrize("lines", [[], iter(())])
def test_nothing_to_translate(speaking: Translator, echo: Echo, lines: list[str]) -> None:
    assert list(speaking.translate_stream(lines)) == []
    assert echo.batches == []


def test_what_cannot_be_iterated(speaking: Translator) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        list(speaking.translate_stream(3))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="a list of lines, not one string"):
        speaking.translate_stream("tree")


def test_mistakes_are_told_before_anything_is_read(speaking: Translator) -> None:
    with pytest.raises(UserError, match="batch: 0"):
        speaking.translate_stream(iter(LINES), batch=0)
    with pytest.raises(UserError, match="nbest: 9"):
        speaking.translate_stream(iter(LINES), nbest=9)


def test_an_error_of_the_engine_ends_the_reading(
    speaking: Translator, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise HatError("out of memory")

    monkeypatch.setattr(echo, "translate", fail)
    with pytest.raises(HatError, match="out of memory"):
        next(speaking.translate_stream(itertools.cycle(LINES)))


def test_an_abandoned_stream_reads_no_more(speaking: Translator) -> None:
    source = Fed()
    stream = speaking.translate_stream(source)
    source.lines.put(LINES[0])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    source.lines.put(LINES[1])  # the thread may be waiting for one more, and drops it
    assert list(stream) == []


def test_closing_the_translator_ends_its_streams(speaking: Translator) -> None:
    stream = speaking.translate_stream(itertools.cycle(LINES), batch=1)
    next(stream)
    speaking.close()
    with pytest.raises(UserError, match="the translator is closed"):
        list(itertools.islice(stream, 100))


def test_a_refused_thread_is_an_error(speaking: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(HatError, match="the system lets this process start no more threads"):
        next(speaking.translate_stream(LINES))
