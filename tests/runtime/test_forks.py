"""A forked process is told at once that it cannot use its parent's model, whatever the parent was doing
then, and loads it for itself."""

import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings, Translator, load_engine
from tests.runtime.random_models import random_artefact, sources

pytestmark = [
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here"),
    # Python 3.12 warns of just what is tested here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

PATIENCE = 60  # seconds until a child that waits fails the test
ENGINES = [("native", 1), ("native", 2), ("torch", 1), ("torch", 2), ("onnxruntime", 1), ("onnxruntime", 2)]
OPTIONS = DecodeOptions(beam=3, min_length=40, max_length_offset=40)
REFUSED = "was loaded before this process was forked.*load the model in the child process"


def load(name: str, threads: int, artefact: Artefact | None = None) -> Engine:
    if name == "native":
        pytest.importorskip("hat.runtime._native", reason="the native engine is not built")
    return load_engine(name, artefact or random_artefact(1), EngineSettings(threads))


def in_child(work: Callable[[], object], method: str = "fork") -> object:
    """The result of `work` in a new process. Fails where it does not end."""
    context = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(work, there))
    process.start()
    there.close()
    try:
        assert here.poll(PATIENCE), "the child hangs"
        return here.recv()
    finally:
        process.kill()
        process.join()


def _answer(work: Callable[[], object], there: Connection) -> None:
    there.send(work())


@contextmanager
def at_work(engine: Engine) -> Iterator[None]:
    """While another thread translates, one call after the other."""
    started, ended = threading.Event(), threading.Event()
    batch = sources(random_artefact(1), 1)

    def work() -> None:
        while not ended.is_set():
            engine.translate(batch, OPTIONS)
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield
    finally:
        ended.set()
        thread.join()


def refusals(uses: Sequence[Callable[[], object]], close: Callable[[], None]) -> list[str]:
    """The message of each use; closing has none."""
    found = []
    for use in uses:
        try:
            found.append(f"done: {use()}")
        except UserError as error:
            found.append(str(error))
    close()
    return found


def uses_of(engine: Engine) -> list[Callable[[], object]]:
    uses: list[Callable[[], object]] = [
        lambda: engine.translate([[5, 2]], OPTIONS),
        lambda: engine.score([[5, 2]], [[5, 2]]),
    ]
    return [*uses, lambda: engine.memory_bytes] if engine.name == "native" else uses  # type: ignore[attr-defined]


def assert_refused(told: object, count: int) -> None:
    assert isinstance(told, list)
    assert len(told) == count
    assert all(re.search(REFUSED, one) for one in told), told


@pytest.mark.parametrize(("name", "threads"), ENGINES)
def test_a_forked_process_may_not_use_its_parents_engine(name: str, threads: int) -> None:
    engine = load(name, threads)
    uses = uses_of(engine)
    with at_work(engine):
        told = in_child(lambda: refusals(uses, engine.close))
    assert_refused(told, len(uses))
    assert engine.translate([[5, 2]], OPTIONS)  # the parent goes on


@pytest.mark.parametrize(("name", "threads"), ENGINES)
def test_a_forked_process_loads_a_model_for_itself(name: str, threads: int) -> None:
    engine, batch = load(name, threads), sources(random_artefact(1), 1)
    expected = engine.translate(batch, OPTIONS)
    with at_work(engine):
        found = in_child(lambda: load(name, threads).translate(batch, OPTIONS))
    assert isinstance(found, list)
    assert [[h.tokens for h in one] for one in found] == [[h.tokens for h in one] for one in expected]


@pytest.mark.parametrize(("name", "threads"), ENGINES)
def test_a_forked_process_may_let_go_of_its_parents_engine(name: str, threads: int) -> None:
    held = [load(name, threads)]
    held[0].translate([[5, 2]], OPTIONS)
    assert in_child(held.clear) is None
    assert held[0].translate([[5, 2]], OPTIONS)


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_a_lock_held_while_the_process_forks_holds_nobody_up(name: str) -> None:
    engine = load(name, 1)
    uses = uses_of(engine)
    with engine._lock:  # type: ignore[attr-defined]
        told = in_child(lambda: refusals(uses, engine.close))
    assert_refused(told, len(uses))


def test_a_forked_process_may_not_use_its_parents_translator(speaking: Translator) -> None:
    stream = speaking.translate_stream(iter(["one", "ten"]))
    assert next(stream).text == "one"
    uses: list[Callable[[], object]] = [
        lambda: speaking.translate(["ten"]),
        lambda: next(speaking.translate_stream(["ten"])),
        lambda: speaking.score([("one", "ten")]),
        lambda: next(stream),
    ]
    for lock in (speaking._gate._changed, threading.Lock()):  # held by a thread of the parent's, or not
        with lock:
            told = in_child(lambda: refusals(uses, speaking.close))
        assert_refused(told, len(uses))
    assert next(stream).text == "ten"


def test_a_stream_that_a_forked_process_lets_go_holds_nobody_up(speaking: Translator) -> None:
    streams = [speaking.translate_stream(iter(["one", "ten"]))]
    next(streams[0])
    reader = streams[0].gi_frame.f_locals["reader"]  # type: ignore[attr-defined]
    with reader._changed:
        assert in_child(streams.clear) is None
    assert next(streams[0]).text == "ten"


def test_a_spawned_process_loads_a_model_for_itself(tmp_path: Path) -> None:
    random_artefact(1).save(tmp_path / "model")
    found = in_child(partial(_translated, tmp_path / "model"), "spawn")
    assert found == _translated(tmp_path / "model")


def _translated(folder: Path) -> list[list[tuple[int, ...]]]:
    artefact = Artefact.load(folder)
    engines = [load(name, threads, artefact) for name, threads in ENGINES]
    batch = sources(artefact, 1)
    return [[hypotheses[0].tokens for hypotheses in engine.translate(batch, OPTIONS)] for engine in engines]


def test_asking_for_the_memory_in_use_lets_other_threads_go_on() -> None:
    """Held back, this thread would not take a step until the translation ends. Tried several times, since a
    busy machine may have the question come before the translation."""
    engine = load("native", 1)
    assert any(_steps_while_asking(engine) > 20 for _ in range(20))


def _steps_while_asking(engine: Engine) -> int:
    options = DecodeOptions(min_length=150, max_length_offset=150)
    translating = threading.Thread(target=engine.translate, args=([[5, 2]] * 16, options))
    asking = threading.Thread(target=lambda: engine.memory_bytes)  # type: ignore[attr-defined]
    translating.start()
    time.sleep(0.02)
    asking.start()
    steps = 0
    while asking.is_alive():
        time.sleep(0.001)
        steps += 1
    translating.join()
    return steps
