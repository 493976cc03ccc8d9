"""The store: what is in it stays, whoever else writes; damage is told."""

import json
import sqlite3
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from hat.errors import HatError, UserError
from hat.hardware import MeasurementStore, MeasureProtocol
from hat.hardware.measuring.store import SCHEMA, Record

PROTOCOL = MeasureProtocol((10,), (12,))
HERE = {"cpu": "Abacus", "machine": "wood", "cores": 2, "hat": "1"}


def record(model: str, series: str = "measure/1") -> Record:
    return Record(
        *(series, "local", model, PROTOCOL.digest(), "largest", {"qkv_dim": 8}),
        *([[1.5, 2.5], [1.25, 3.5]], [[0.5, 0.25]], [[9.0, 9.5], [8.0, 8.5]], 1000, 0.5),
    )


def read(store: MeasurementStore, series: str = "measure/1") -> dict[str, Record]:
    return store.series(series, "local", PROTOCOL.digest(), "largest")


def test_written_measurements_are_read_back(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    environment = store.begin("local", HERE, PROTOCOL)
    store.append(record("a"), environment)
    store.append(record("b"), environment)
    store.append(record("a", "search/1"), environment)
    store.close()
    again = MeasurementStore(tmp_path / "store.sqlite")
    assert read(again) == {"a": record("a"), "b": record("b")}
    assert read(again, "search/1") == {"a": record("a", "search/1")}
    assert again.environment("measure/1", "local") == HERE
    rows = list(again.rows())
    assert [row["model"] for row in rows] == ["a", "b", "a"]
    assert rows[0]["protocol_content"] == PROTOCOL.to_dict()
    assert rows[0]["environment"] == HERE


def test_a_measurement_that_is_there_stays(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    environment = store.begin("local", HERE, PROTOCOL)
    store.append(record("a"), environment)
    store.append(replace(record("a"), architecture={}, first_ms=[[7.0, 7.0]]), environment)
    assert read(store) == {"a": record("a")}


def _write(path: Path, name: str) -> None:
    store = MeasurementStore(path)
    environment = store.begin("local", HERE, PROTOCOL)
    for number in range(50):
        store.append(record(f"{name}{number}"), environment)
    store.close()


def test_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        for done in [pool.submit(_write, path, name) for name in "abc"]:
            done.result()
    assert len(read(MeasurementStore(path))) == 150


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    for number in range(20):
        path, together = tmp_path / f"{number}.sqlite", Barrier(8)

        def open_it(path: Path = path, together: Barrier = together) -> None:
            together.wait()
            MeasurementStore(path).close()

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(open_it) for _ in range(8)]:
                done.result()


def test_a_transaction_under_way_at_a_crash_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    _write(path, "a")
    crashed = MeasurementStore(path)
    crashed._connection.execute("BEGIN IMMEDIATE")
    crashed._connection.execute("DELETE FROM measurement")
    crashed._connection.close()
    assert len(read(MeasurementStore(path))) == 50


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    MeasurementStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA + 1}")
    connection.close()
    with pytest.raises(
        UserError, match=rf"a store of version {SCHEMA + 1}; this version of hat reads {SCHEMA}"
    ):
        MeasurementStore(path)
    path.write_text("what? " * 1000)
    with pytest.raises(UserError, match=r"store.sqlite: not a store of measurements"):
        MeasurementStore(path)


@pytest.mark.parametrize("damage", ["nonsense", "[[1.0, -2.0]]", json.dumps([["1"]]), "7"])
def test_a_damaged_row_is_reported(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "store.sqlite"
    _write(path, "a")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE measurement SET pairs_ms = ? WHERE model = 'a7'", (damage,))
    connection.commit()
    with pytest.raises(UserError, match="the measurement of a7 is damaged"):
        read(MeasurementStore(path))


def damage(path: Path, column: str, content: object, table: str = "measurement", where: str = "1") -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (content,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("column", "content"),
    [
        ("pairs_ms", "[[NaN, 1.0], [1.0, 1.0]]"),
        ("pairs_ms", "[[1.0, 1.0], [1.0]]"),
        ("pairs_ms", "[]"),
        ("first_ms", "[[1e999, 1]]"),
        ("first_ms", "[[true, 1]]"),
        ("first_ms", "[[1]]"),
        ("reference_ms", "[[1.0], [1.0], [1.0]]"),
        ("reference_ms", "[[], []]"),
        ("reference_ms", "[" * 5000),
        ("reference_ms", None),
        ("energy_j", float("inf")),
        ("energy_j", "much"),
        ("memory_bytes", -1),
        ("disturbed", "often"),
        ("architecture", "NaN"),
    ],
)
def test_a_damaged_row_is_removed_with_a_warning_and_written_again(
    tmp_path: Path, column: str, content: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.sqlite"
    store = MeasurementStore(path)
    environment = store.begin("local", HERE, PROTOCOL)
    for name in "ab":
        store.append(record(name), environment)
    if content is None:  # which the table does not take
        content = b"\xff\x00"
    damage(path, column, content, where="model = 'a'")
    with pytest.raises(UserError, match=r"the measurement of a is damaged \("):
        read(store)
    assert [row["model"] for row in store.rows()] == ["b"]
    store.discard_damaged("another series")
    with pytest.raises(UserError):
        read(store)
    caplog.clear()
    store.discard_damaged("measure/1")
    [line] = caplog.messages
    assert line.startswith(f"{path}: the measurement of a is damaged (")
    assert line.endswith("): it is removed, and can be measured again")
    assert len(line) < 400
    store.append(record("a"), environment)
    assert read(store) == {"a": record("a"), "b": record("b")}


NAN = float("nan")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"pairs_ms": [[value, 1.0]]} for value in (NAN, -1.0, 0, True, "1", None, float("inf"))),
        *({"energy_j": value} for value in (NAN, -1.0, float("inf"), "1", True)),
        *({"memory_bytes": value} for value in (NAN, -1, 2**63, 1.5)),
        *({"disturbed": value} for value in (NAN, -1, None)),
    ],
)
def test_what_was_not_measured_is_not_stored(tmp_path: Path, wrong: dict[str, Any]) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    environment = store.begin("local", HERE, PROTOCOL)
    with pytest.raises(HatError, match="the measurement of a is not stored: "):
        store.append(replace(record("a"), **wrong), environment)
    assert read(store) == {}


def test_a_damaged_environment_is_removed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.sqlite"
    _write(path, "a")
    for content in ("[]", "null", "nonsense", b"\xff", "[" * 5000):
        damage(path, "content", content, table="environment")
        store = MeasurementStore(path)
        with pytest.raises(UserError, match=r"store\.sqlite: an environment is damaged \("):
            store.begin("local", HERE, PROTOCOL)
        with pytest.raises(UserError, match=r"store\.sqlite: an environment is damaged \("):
            store.environment("measure/1", "local")
        assert list(store.rows()) == []
    store.discard_damaged()
    assert caplog.messages[-1].endswith("): it is removed with its 50 measurements")
    store.append(record("a"), store.begin("local", HERE, PROTOCOL))
    assert read(store) == {"a": record("a")}


def test_a_number_of_an_environment_that_is_none_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    _write(path, "a")
    damage(path, "content", json.dumps({**HERE, "temperature_c": NAN}), table="environment")
    store = MeasurementStore(path)
    store.discard_damaged()
    store.begin("local", HERE, PROTOCOL)
    assert store.environment("measure/1", "local") == {**HERE, "temperature_c": None}
    assert len(read(store)) == 50


def test_another_machine_under_the_same_name_is_refused(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.begin("local", HERE, PROTOCOL)
    store.begin("pi", {**HERE, "cpu": "Raspberry"}, PROTOCOL)
    store.begin("local", {**HERE, "hat": "2"}, PROTOCOL)
    with pytest.raises(UserError, match=r"device pi was another machine [(]cores 2, now 4[)]"):
        store.begin("pi", {**HERE, "cpu": "Raspberry", "cores": 4}, PROTOCOL)
