"""Measurements to CSV and back, and what is refused with nothing added."""

import json
from pathlib import Path

import pytest

from hat.architecture import Architecture
from hat.errors import UserError
from hat.hardware import MeasurementStore, MeasureProtocol
from hat.hardware.measuring.csv import Imported, export_csv, import_csv, is_measurement_csv
from hat.hardware.measuring.store import Record

PROTOCOL = MeasureProtocol((10,), (12,))
HERE = {"cpu": "Abacus", "machine": "wood", "cores": 2}


@pytest.fixture
def exported(tmp_path: Path, architectures: list[Architecture]) -> Path:
    store = MeasurementStore(tmp_path / "store.sqlite")
    environment = store.begin("local", HERE, PROTOCOL)
    for number, architecture in enumerate(architectures[:3]):
        times = [[1.5 + number], [2.5]], [[0.5]], [[9.0, 9.5], [8.0, 8.5]]
        key = "measure/1", "local", f"m{number}", PROTOCOL.digest(), "largest"
        store.append(Record(*key, architecture.to_dict(), *times, 7, None), environment)
    assert export_csv(store, tmp_path / "out.csv") == 3
    store.close()
    return tmp_path / "out.csv"


def test_round_trip(exported: Path, tmp_path: Path) -> None:
    assert is_measurement_csv(exported)
    store = MeasurementStore(tmp_path / "other.sqlite")
    assert import_csv(store, exported) == Imported(added=3, known=0, differ=0)
    assert import_csv(store, exported) == Imported(added=0, known=3, differ=0)
    assert list(store.rows()) == list(MeasurementStore(tmp_path / "store.sqlite").rows())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pairs_ms,", "", r"out.csv:1: missing column pairs_ms"),
        ("series,", "series,colour,", r"out.csv:1: unknown column colour; the columns are series"),
        ("[[3.5], [2.5]]", "[[NaN], [2.5]]", r"out.csv:4: pairs_ms: expected lists of positive"),
        ("[[3.5], [2.5]]", "[[3.5], [-2.5]]", r"out.csv:4: pairs_ms: expected lists of positive"),
        ("[[3.5], [2.5]]", "many", r"out.csv:4: pairs_ms: 'many' cannot be read"),
        ("[[3.5], [2.5]]", "[[3.5], [2.5, 1]]", r"out.csv:4: a round lacks a time for a pair of lengths"),
        ("[[3.5], [2.5]]", "[[3.5]]", r"out.csv:4: 1 rounds, 1 of them .* 2 of the reference do not fit"),
        ("[[3.5], [2.5]]", "[" * 5000, r"out.csv:4: pairs_ms: '\[*… cannot be read"),
        (",7,", ",-7,", r"out.csv:2: memory_bytes: -7 is not a number of 0 or more"),
        (",7,,", ",7,nan,", r"out.csv:2: energy_j: 'nan' cannot be read"),
        (",7,,", ",7,1e999,", r"out.csv:2: energy_j: '1e999' cannot be read"),
        (",7,", f",{'9' * 5000},", r"out.csv:2: memory_bytes: '9*… cannot be read"),
        (",7,", f",{2**63},", r"out.csv:2: memory_bytes: .9223372036854775808. cannot be read"),
        (",7,", ",seven,", r"out.csv:2: memory_bytes: 'seven' cannot be read"),
        ("m1", "", r"out.csv:3: model: is empty"),
        ("qkv_dim", "qkv", r"out.csv:2: architecture: unknown key qkv"),
        ('""beam"": 5', '""beam"": 4', r"out.csv:2: protocol: '.*' is not the digest"),
    ],
)
def test_bad_files_leave_the_store_as_it_was(
    exported: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = exported.read_text()
    assert old in text or old == "[[2.5"
    exported.write_text(
        text.replace(old, new, 1).replace("[[3.5]", new + "]" if old == "[[2.5" else "[[3.5]")
    )
    store = MeasurementStore(tmp_path / "other.sqlite")
    with pytest.raises(UserError, match=message):
        import_csv(store, exported)
    assert list(store.rows()) == []


def test_what_a_spreadsheet_adds_does_not_matter(exported: Path, tmp_path: Path) -> None:
    text = exported.read_text()
    exported.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n  \r\n\r\n")
    assert is_measurement_csv(exported)
    store = MeasurementStore(tmp_path / "other.sqlite")
    assert import_csv(store, exported) == Imported(added=3, known=0, differ=0)
    assert list(store.rows()) == list(MeasurementStore(tmp_path / "store.sqlite").rows())


def test_an_import_reports_its_counts(exported: Path, tmp_path: Path) -> None:
    header, first, *others = exported.read_text().splitlines()
    store = MeasurementStore(tmp_path / "other.sqlite")
    exported.write_text(f"{header}\n{first}\n")
    assert str(import_csv(store, exported)) == "1 of 1 measurements added, 0 known already"
    before = list(store.rows())
    exported.write_text("\n".join([header, first.replace("[[1.5]", "[[1.75]"), *others]))
    assert str(import_csv(store, exported)) == (
        "2 of 3 measurements added, 1 known already; 1 of these differ from the file and were kept"
    )
    assert list(store.rows())[:1] == before


def test_a_long_measurement_comes_back(exported: Path, tmp_path: Path) -> None:
    *lines, last = exported.read_text().splitlines(keepends=True)
    last = last.replace("[[3.5], [2.5]]", json.dumps([[3.5]] * 30_000))
    last = last.replace("[[9.0, 9.5], [8.0, 8.5]]", json.dumps([[9.0, 9.5]] * 30_000))
    exported.write_text("".join([*lines, last]))
    store = MeasurementStore(tmp_path / "other.sqlite")
    assert import_csv(store, exported).added == 3
    assert export_csv(store, tmp_path / "again.csv") == 3
    assert (tmp_path / "again.csv").read_text() == exported.read_text()


def test_a_row_that_is_cut_off(exported: Path, tmp_path: Path) -> None:
    lines = exported.read_text().splitlines()
    exported.write_text("\n".join([*lines[:3], lines[3][:60]]))
    store = MeasurementStore(tmp_path / "other.sqlite")
    with pytest.raises(UserError, match=r"out.csv:3: not CSV|out.csv:4"):
        import_csv(store, exported)
    assert list(store.rows()) == []
