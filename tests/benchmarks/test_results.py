"""The results that benchmarks/results keeps."""

import re
from pathlib import Path

import pytest

import reports
from figures import EVERY_MACHINE, LOG
from hat.files import read_json, write_json

DATED = re.compile(r"(?P<kind>.+)-(?P<date>\d{4}-\d\d-\d\d)(\.json)?")


def replaced(results: Path) -> list[str]:
    """The results of which there is a newer one of the same kind; of some kinds, of the same machine."""
    seen: dict[tuple[str, str], str] = {}
    older = []
    for path in sorted(results.iterdir(), key=lambda path: path.stem, reverse=True):
        if match := DATED.fullmatch(path.name):
            by_machine = match["kind"] in EVERY_MACHINE
            machine = read_json(path / "report.json")["environment"]["cpu"] if by_machine else ""
            if (match["kind"], machine) in seen:
                older.append(path.name)
            seen.setdefault((match["kind"], machine), path.name)
    return older


def test_only_the_newest_result_of_each_kind_is_kept() -> None:
    assert replaced(reports.RESULTS) == [], "write its figures and its commit into docs/log.md, and delete it"


@pytest.mark.parametrize(
    ("names", "older"),
    [
        (("demo-2026-01-01", "demo-small-2026-01-02", "demo-2026-01-03"), ["demo-2026-01-01"]),
        (("speed-2026-01-01.json", "speed-2026-01-03.json", "corpus.json"), ["speed-2026-01-01.json"]),
    ],
)
def test_a_result_with_a_newer_one_of_its_kind_is_found(
    tmp_path: Path, names: tuple[str, ...], older: list[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert replaced(tmp_path) == older


def test_the_engines_have_one_result_for_each_machine(tmp_path: Path) -> None:
    for date, cpu in (("2026-01-01", "A"), ("2026-01-02", "B"), ("2026-01-03", "A")):
        (tmp_path / f"engines-{date}").mkdir()
        write_json(tmp_path / f"engines-{date}" / "report.json", {"environment": {"cpu": cpu}})
    assert replaced(tmp_path) == ["engines-2026-01-01"]


def test_the_log_begins_with_the_newest_experiments() -> None:
    dates = re.findall(r"^## (\d{4}-\d\d-\d\d)$", LOG.read_text("utf-8"), re.MULTILINE)
    assert len(dates) > 3
    assert dates == sorted(set(dates), reverse=True)
