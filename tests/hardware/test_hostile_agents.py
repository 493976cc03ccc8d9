"""Agents that stop, hang, flood and lie: measuring goes on or says why not, and nothing of them is left."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.errors import HatError, UserError
from hat.hardware import MeasurementStore, MeasureProtocol, Series, measure
from hat.hardware.device import child, link
from hat.hardware.device.bench import AgentBench
from hat.hardware.device.limits import ANSWER_SECONDS, LOAD_SECONDS, START_SECONDS, TimeLimits, call_work
from hat.hardware.device.link import BadAnswer, LinkLost, NoAnswer
from hat.hardware.device.process import LocalLink, ProcessLink
from hat.runtime import installed_engine
from tests.hardware.rig import eventually

HOSTILE = str(Path(__file__).with_name("hostile_agent.py"))
REQUEST = {"op": "state"}
CONFIG = ModelConfig(
    Architecture(32, Encoder(32, (EncoderLayer(32, 2),)), Decoder(32, (DecoderLayer(32, 2, 2),))), 50, 50
)
PROTOCOL = MeasureProtocol((5, 9), (4, 7), engine=installed_engine("auto"), warmup=1, rounds=6)


def python(*arguments: str) -> ProcessLink:
    """A link to a program that takes the place of the measuring process."""
    return ProcessLink((sys.executable, "-P", *arguments), "the measuring process")


def hostile(mode: str) -> ProcessLink:
    return python(HOSTILE, mode)


def is_gone(pid: int) -> bool:
    return eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


@pytest.mark.parametrize("mode", ["stop", "silent", "deaf", "leaves a child"])
def test_an_agent_that_does_not_answer_is_given_up_and_ended(mode: str) -> None:
    agent = hostile(mode)
    process = agent._child.process
    seconds = 0.3 if mode in ("silent", "deaf") else 3
    with pytest.raises(
        NoAnswer, match=r"the measuring process does not answer: no reply to .* within [03] s"
    ) as lost:
        agent.ask({"op": "x" * 10**6 if mode == "deaf" else "state"}, seconds)
    assert process.returncode is not None
    assert not psutil.pid_exists(process.pid)
    if mode == "stop":
        assert str(lost.value).endswith(r"its last message is: about to stop \x1b[31m")
    if mode == "leaves a child":
        assert is_gone(int(str(lost.value).rpartition(" ")[2]))
    with pytest.raises(LinkLost, match="has ended"):
        agent.ask(REQUEST, 1)
    agent.close()


def test_an_interrupted_question_ends_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = hostile("silent")

    def interrupted(line: bytes, seconds: float) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(agent._child, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        agent.ask(REQUEST)
    assert agent._child.process.returncode is not None


def test_an_agent_may_complain_and_be_slow() -> None:
    for mode in ("complains", "byte by byte"):
        with hostile(mode) as agent:
            for _ in range(2):
                assert agent.ask(REQUEST, 30) == {"size": len('{"op": "state"}\n')}
        if mode == "complains":
            assert agent._child.last_message() == "the last complaint"
            assert len(agent._child._errors) <= 2**13


def test_the_last_words_of_a_dying_agent_are_safe_to_print() -> None:
    with hostile("dies") as agent, pytest.raises(LinkLost) as lost:
        agent.ask(REQUEST)
    assert str(lost.value) == r"the measuring process died: \x1b[2Jit was too much"


def test_a_flood_does_not_fill_the_memory() -> None:
    with (
        hostile("endless line") as agent,
        pytest.raises(BadAnswer, match="more than 1,048,576 b"),
    ):
        agent.ask(REQUEST)
    with hostile("endless lines") as agent:
        assert agent.ask(REQUEST)
        time.sleep(0.2)
        assert agent._child._lines.qsize() < 10_000


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("null", "answered None, not a mapping"),
        ("[]", r"answered \[\], not a mapping"),
        ("hello", "did not answer in JSON"),
        ("[" * 5000, "did not answer in JSON .*nested deeper"),
        ('{"a": NaN}', "did not answer in JSON .*NaN is not a finite number"),
        ('{"a": 1, "a": 2}', "the key a twice"),
        ('{"error": ["x"], "exit_code": 2}', r"an error that is \['x'\]"),
        (
            '{"error": "x\\u001b[31m\\nhat: all is well", "exit_code": null}',
            r"x\\x1b\[31m\\nhat: all is well$",
        ),
    ],
)
def test_other_output_than_an_answer_is_refused(answer: str, message: str) -> None:
    with hostile(answer) as agent, pytest.raises(HatError, match=message) as refused:
        agent.ask(REQUEST)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


class Liar:
    """A link to a device that answers as it is told to."""

    def __init__(self, **answers: object) -> None:
        self.answers = {"hello": {"environment": {}}, "load": {"slot": 1, "memory_bytes": 5}, **answers}
        self.seconds: dict[str, float] = {}

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
        self.seconds[request["op"]] = seconds
        return self.answers[request["op"]]

    def put(self, folder: Path) -> str:
        return "/there"

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


NAN, INFINITY = float("nan"), float("inf")
SLOTS: tuple[object, ...] = (None, True, "1", [1], 1.5, -1)
SIZES: tuple[object, ...] = (-1, "x", NAN, 2**70, True)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        *(("hello", {"environment": value}) for value in (None, [], "x", {"cpu": 7}, {"cores": "many"})),
        *(("hello", {"environment": value}) for value in ({"load_average": NAN}, {"cores": -1}, {"x": {}})),
        *(("hello", {"environment": value}) for value in ({"flags": [1]}, {"gpus": "x"}, {"x": [[1]]})),
        ("hello", {"environment": dict.fromkeys(map(str, range(1000)))}),
        *(("hello", {"environment": {name: "x" * 1001}}) for name in ("cpu", "x")),
        *(("hello", {"environment": value}) for value in ({"gpus": ["x" * 1001]}, {"published": "a paper"})),
        *(("load", {"slot": value, "memory_bytes": 1}) for value in SLOTS),
        *(("load", {"slot": 2, "memory_bytes": value}) for value in SIZES),
        *(("time", {"pairs_ms": value}) for value in (None, [], [1.0], [1.0] * 3, [1.0, NAN], "12", 7)),
        *(("time", {"pairs_ms": value}) for value in ([1, 0], [1, -1], [1, INFINITY], [1, True], [1, 1e300])),
        *(("time", {"pairs_ms": [1, 2], "energy_j": value}) for value in (NAN, -1, "x", True, INFINITY)),
        *(("time", {"pairs_ms": [1, 2], "preempted": value}) for value in (None, -1, 0.5, "x", 2**70)),
        *(("state", {"peak_memory_bytes": value}) for value in (-1, "x", NAN, True)),
    ],
)
def test_answers_are_checked_where_they_arrive(
    operation: str, answer: dict[str, object], tmp_path: Path
) -> None:
    good = {"time": {"pairs_ms": [1, 2.5], "energy_j": None, "preempted": 0}, "unload": {}}
    liar = Liar(**{**good, "state": {"peak_memory_bytes": 9}})
    bench = AgentBench(liar)
    assert bench.load(CONFIG, PROTOCOL) == (1, 5)
    assert bench.time(1).pairs_ms == [1.0, 2.5]
    liar.answers[operation] = {"energy_j": None, "preempted": 0, **answer} if operation == "time" else answer
    if operation == "state":
        liar.answers["load"] = {"slot": 3, "memory_bytes": None}
    asking: dict[str, Callable[[], object]] = {
        "hello": bench.reopen,
        "load": lambda: bench.load(CONFIG, PROTOCOL),
        "time": lambda: bench.time(1),
        "state": lambda: bench.peak_memory(tmp_path, PROTOCOL),
    }
    with pytest.raises(BadAnswer, match=f"the device's answer to '{operation}': .*: expected .*, not"):
        asking[operation]()


def test_a_slot_belongs_to_one_model() -> None:
    bench = AgentBench(Liar())
    bench.load(CONFIG, PROTOCOL)
    with pytest.raises(BadAnswer, match="slot: expected a whole number that no other model has, not 1"):
        bench.load(CONFIG, PROTOCOL)


def test_limits_grow_with_the_work_and_learn_the_speed() -> None:
    liar = Liar(time={"pairs_ms": [1, 2], "energy_j": None, "preempted": 0})
    bench = AgentBench(liar)
    assert liar.seconds["hello"] == START_SECONDS
    bench.load(CONFIG, PROTOCOL)
    assert liar.seconds["load"] > LOAD_SECONDS
    bench.time(1)
    unknown = liar.seconds["time"]
    assert unknown > ANSWER_SECONDS
    bench.time(1)
    assert ANSWER_SECONDS < liar.seconds["time"] < unknown
    batch = MeasureProtocol((5,), (4,), batch=64)
    assert call_work(CONFIG, batch) == 64 * call_work(CONFIG, MeasureProtocol((5,), (4,)))
    limits = TimeLimits()
    before = limits.for_call(1e12)
    limits.ask_timed(1e9, lambda seconds: time.sleep(0.01))
    assert ANSWER_SECONDS < limits.for_call(1e9) < limits.for_call(1e12) < before


def test_a_lying_device_leaves_the_store_usable(tmp_path: Path) -> None:
    liar = Liar(time={"pairs_ms": [1, NAN], "energy_j": None, "preempted": 0}, unload={})
    store = MeasurementStore(tmp_path / "store.sqlite")
    series = Series(store, "s", "liar", PROTOCOL, CONFIG)
    liar.answers["load"] = {"slot": 1, "memory_bytes": 5}
    other = ModelConfig(CONFIG.architecture, 60, 60)
    with pytest.raises(BadAnswer):
        measure([other], series, AgentBench(Counting(liar)))
    assert series.records() == {}
    liar.answers["time"] = {"pairs_ms": [1, 2], "energy_j": None, "preempted": 0}
    [found] = measure([other], series, AgentBench(Counting(liar)))
    assert found.latency_ms == pytest.approx(1.5)


class Counting(Liar):
    """Gives each model a slot of its own."""

    def __init__(self, liar: Liar) -> None:
        super().__init__()
        self.answers = liar.answers
        self._slots = iter(range(100))

    def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
        found = super().ask(request, seconds)
        return {**found, "slot": next(self._slots)} if request["op"] == "load" else found


def test_a_silent_device_is_asked_once_more_only(tmp_path: Path) -> None:
    class Silent(Liar):
        asked = 0

        def ask(self, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
            if request["op"] != "load":
                return super().ask(request, seconds)
            self.asked += 1
            raise NoAnswer("silence")

    silent = Silent()
    series = Series(MeasurementStore(tmp_path / "s.sqlite"), "s", "silent", PROTOCOL, CONFIG)
    with pytest.raises(NoAnswer):
        measure([CONFIG], series, AgentBench(silent))
    assert silent.asked == 2


def test_nothing_of_the_current_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("yaml", "random", "json", "numpy", "hat", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the current folder')\n")
    monkeypatch.chdir(tmp_path)
    # As `export PYTHONPATH=$PYTHONPATH:/elsewhere` leaves it: an empty entry stands for the current folder.
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}/nowhere")
    with LocalLink() as agent:
        bench = AgentBench(agent)
        slot, _ = bench.load(CONFIG, PROTOCOL)
        assert len(bench.time(slot).pairs_ms) == 2


def test_a_child_starts_in_an_empty_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "look.py"
    program.write_text(
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    mode = oct(os.stat('.').st_mode & 0o777)\n"
        "    seen = {'files': os.listdir(), 'mode': mode, 'folder': os.getcwd(), 'path': sys.path,\n"
        "        'safe': os.environ['PYTHONSAFEPATH'], 'places': os.environ['PYTHONPATH']}\n"
        "    print(json.dumps(seen), flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "below", "/elsewhere"]))
    with python(str(program)) as agent:
        seen = agent.ask(REQUEST)
        assert (seen["files"], seen["mode"], seen["safe"]) == ([], "0o700", "1")
        assert seen["places"].split(os.pathsep) == [str(Path("below").absolute()), "/elsewhere"]
        assert str(tmp_path) not in seen["path"]
        assert Path(seen["folder"]).is_dir()
    assert not Path(seen["folder"]).exists()


def test_no_process_is_started_elsewhere() -> None:
    """`start_program` alone starts agents; beside it there are nvidia-smi and a training's processes."""
    source = Path(child.__file__).parents[2]
    starts = re.compile(
        r"subprocess\.(run|Popen|call|check_\w+)\(|os\.(system|popen|spawn|exec)|multiprocessing"
    )
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if starts.search(path.read_text())
    }
    assert found == {"hardware/device/child.py", "hardware/agent/environment.py", "training/processes.py"}


def test_the_command_does_not_import_from_the_folder_it_is_called_in(tmp_path: Path) -> None:
    hat = Path(sys.executable).with_name("hat")
    if not hat.is_file():
        pytest.skip("the `hat` command is not installed beside this Python")
    for name in ("yaml", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the current folder')\n")
    done = subprocess.run(
        [hat, "device", "list"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_that_the_agent_tells_stays_one() -> None:
    with pytest.raises(UserError, match=r"^no engine$"):
        link.parse_answer('{"error": "no engine", "exit_code": 2}', "the agent")
