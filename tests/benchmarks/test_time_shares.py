"""The benchmark of the parts' shares in time and bytes."""

import json
from pathlib import Path

import pytest

from hat.architecture import weight_shapes
from time_shares import PARTS, SHAPES, Shape, artefact_bytes, main, markdown, part_of, shares, step_bytes


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_weight_belongs_to_a_part(shape: Shape) -> None:
    names = weight_shapes(shape.model)
    assert {part_of(name) for name in names} == {*PARTS} - {"embedding", "beam"}


def test_bytes_are_those_of_the_stored_weights() -> None:
    shape = SHAPES["6+1 of 512"]
    matrix = 32768 * (512 + 4)  # int8 with a scale for each row
    assert artefact_bytes(shape)["projection"] == step_bytes(shape)["projection"] == matrix
    assert "encoder" not in step_bytes(shape)
    keys_and_values = artefact_bytes(shape)["cross-attention"] - step_bytes(shape)["cross-attention"]
    assert keys_and_values == 2 * 512 * (512 + 4 + 4) - 2 * 4 * 512 * 15
    assert sum(shares(step_bytes(shape)).values()) == pytest.approx(1)


def test_a_part_without_bytes_has_a_dash() -> None:
    kinds = {"time": {"beam": 0.25}, "step": {}, "artefact": {}}
    whole = {
        "milliseconds": 1.5,
        "milliseconds_at_beam_1": 0.5,
        "step_megabytes": 2,
        "artefact_megabytes": 30,
    }
    lines = markdown([{"name": "tiny", **kinds, **whole}]).splitlines()
    assert lines[0] == "| part | tiny: time | tiny: step | tiny: artefact |"
    assert "| beam | 25 % | – | – |" in lines
    assert lines[-2:] == ["| whole | 1.50 ms | 2.00 MB | 30.00 MB |", "| whole at beam 1 | 0.50 ms |  |  |"]


@pytest.mark.slow
def test_the_parts_of_an_engine_that_measures_them_sum_up_to_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["time_shares.py", "--rounds", "5", "--output", str(tmp_path / "x.json")])
    main()
    rows = json.loads((tmp_path / "x.json").read_text("utf-8"))["rows"]
    assert [row["name"] for row in rows] == [*SHAPES]
    for row in rows:
        assert sum(row["time"].values()) == pytest.approx(1)
        assert row["time"].keys() == {*PARTS}
