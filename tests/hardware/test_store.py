"""The store: what is in it stays, whoever else writes; damage is told."""

import json
import sqlite3
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import pytest

from hat.errors import UserError
from hat.hardware import MeasurementStore, MeasureProtocol
from hat.hardware.store import SCHEMA, Record

PROTOCOL = MeasureProtocol((10,), (12,))
HERE = {"cpu": "Abacus", "machine": "wood", "cores": 2, "hat": "1"}


def record(model: str, series: str = "measure/1") -> Record:
    return Record(
        *(series, "local", model, PROTOCOL.digest(), "largest", {"qkv_dim": 8}),
        *([[1.5, 2.5], [1.25, 3.5]], [[0.5, 0.25]], [[9.0, 9.5], [8.0, 8.5]], 1000, 0.5),
    )


def read(store: MeasurementStore, series: str = "measure/1") -> dict[str, Record]:
    return store.series(series, "local", PROTOCOL.digest(), "largest")


def test_what_is_written_is_read(tmp_path: Path) -> None:
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
    store.append(Record(*record("a").key[:5], {}, [[7.0]], [], []), environment)
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
def test_a_damaged_row_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "store.sqlite"
    _write(path, "a")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE measurement SET pairs_ms = ? WHERE model = 'a7'", (damage,))
    connection.commit()
    with pytest.raises(UserError, match="the measurement of a7 is damaged"):
        read(MeasurementStore(path))


def test_another_machine_under_the_same_name_is_refused(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.begin("local", HERE, PROTOCOL)
    store.begin("pi", {**HERE, "cpu": "Raspberry"}, PROTOCOL)
    store.begin("local", {**HERE, "hat": "2"}, PROTOCOL)
    with pytest.raises(UserError, match=r"device pi was another machine [(]cores 2, now 4[)]"):
        store.begin("pi", {**HERE, "cpu": "Raspberry", "cores": 4}, PROTOCOL)
