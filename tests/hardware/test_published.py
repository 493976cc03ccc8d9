"""The published latency sets, as a device one can search for."""

from pathlib import Path

import numpy as np
import pytest

from hat.architecture import Architecture
from hat.errors import UserError
from hat.predictor import CostPredictor, paper_network
from hat.predictor.features import paper_features
from hat.predictor.paper_network import PaperMLP
from hat.predictor.published_sets import COLUMNS, read_latency_csv

PUBLISHED_LATENCY = Path(__file__).parents[2] / "benchmarks" / "data" / "published_latency"
ROW = "640,6,2048.0,8,512,3,1024.5,4,6.0,1.5,9.5,2e2,0.1,0"
TEXT = ",".join(COLUMNS) + "\n" + f"{ROW}\n" * 3


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "set.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_csv_is_read(tmp_path: Path) -> None:
    found = read_latency_csv(write(tmp_path, TEXT))
    np.testing.assert_array_equal(found.averages[1], [640, 6, 2048, 8, 512, 3, 1024.5, 4, 6, 1.5])
    np.testing.assert_array_equal(found.latency_ms, [209.5] * 3)
    np.testing.assert_array_equal((found.encoder_std_ms[0], found.decoder_std_ms[0]), (0.1, 0))


def test_the_order_of_columns_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    columns = zip(*(line.split(",") for line in TEXT.splitlines()), strict=True)
    turned = "\r\n".join(",".join(row) for row in zip(*reversed(list(columns)), strict=True))
    found = read_latency_csv(write(tmp_path, f"\ufeff{turned}\r\n\r\n \r\n"))
    np.testing.assert_array_equal(found.averages[2], [640, 6, 2048, 8, 512, 3, 1024.5, 4, 6, 1.5])


def with_cell(name: str, cell: str) -> str:
    cells = ROW.split(",")
    cells[COLUMNS.index(name)] = cell
    return TEXT + ",".join(cells) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"set.csv:1: missing column encoder_embed_dim, .*; the columns are encoder_embed_dim"),
        (",".join(COLUMNS) + "\n", "set.csv: no measurements below the header"),
        (TEXT.replace(",latency_std_decoder", ""), "set.csv:1: missing column latency_std_decoder"),
        (TEXT.replace("std_encoder", "std_colour"), "set.csv:1: unknown column latency_std_colour; the col"),
        (TEXT.replace("std_encoder", "std_decoder"), "set.csv:1: the column latency_std_decoder twice"),
        (TEXT + ROW[:-2], "set.csv:5: 13 cells under 14 columns"),
        (TEXT + ROW + ",1", "set.csv:5: 15 cells under 14 columns"),
        (TEXT + "\n" + ROW, "set.csv:5: 0 cells under 14 columns"),
        (TEXT + '"640', "set.csv:5: unexpected end of data"),
        (TEXT.encode() + b"\xff", "set.csv:5: not UTF-8 text"),
        *(
            (with_cell("decoder_layer_num", cell), f"set.csv:5: decoder_layer_num: {told}")
            for cell, told in {
                "nan": "'nan' is not a number",
                "": "'' is not a number",
                "six": "'six' is not a number",
                "1_0": "'1_0' is not a number",
                "__import__('os')": ".* is not a number",
                "0": "'0'; expected more than 0",
                "-3": "'-3'; expected more than 0",
                "1e999": "'1e999'; expected more than 0 and less than",
                "2.5": "'2.5' is not a whole number",
            }.items()
        ),
        (with_cell("latency_std_encoder", "-1"), "latency_std_encoder: '-1'; expected 0 or more"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told_in_a_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read_latency_csv(write(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_no_such_csv(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.csv: No such file"):
        read_latency_csv(tmp_path / "none.csv")


def test_an_imported_set_predicts_architectures(tmp_path: Path, architectures: list[Architecture]) -> None:
    def line(row: list[float]) -> str:
        decoder_ms = row[5] * (10 + row[4] * row[6] / 1e5)  # depth × (something + width × FFN)
        return ",".join(map(str, [*row, 5.0, decoder_ms, 0.1, 0.1]))

    rows = [[float(x) for x in row] for row in paper_features(architectures)]
    text = "\n".join([",".join(COLUMNS), *map(line, rows)])
    found = read_latency_csv(write(tmp_path, text))
    fitted = CostPredictor.fit(found.averages[:40], found.latency_ms[:40], seed=0, features="averages")
    np.testing.assert_allclose(fitted.predict(architectures[40:]), found.latency_ms[40:], rtol=0.02)


def test_the_published_sets() -> None:
    """With 100 rows below the network's error with 1,600 (benchmarks/predictor.py), on any split."""
    networks = {
        "wmt14ende_cpu_raspberrypi": 3.9,
        "wmt14ende_cpu_xeon": 5.2,
        "wmt14ende_gpu_titanxp": 5.7,
        "wmt14enfr_cpu_raspberrypi": 0.74,
        "wmt14enfr_gpu_titanxp": 2.0,
    }
    for name, error in networks.items():
        data = read_latency_csv(PUBLISHED_LATENCY / f"{name}_all.csv")
        few = np.random.default_rng(0).choice(2000, 100, replace=False)
        x, y = data.averages, data.latency_ms
        predictor = CostPredictor.fit(x[few], y[few], seed=0, features="averages")
        rest = np.delete(np.arange(2000), few)
        assert 100 * np.abs(predictor.predict(x[rest]) / y[rest] - 1).mean() < error, name


def test_the_papers_network_learns(architectures: list[Architecture]) -> None:
    rows = paper_features(architectures)
    latencies = 5 + 10 * rows[:, 5] + 0.01 * rows[:, 0]
    network = PaperMLP.fit(
        rows[:50], latencies[:50], validation=rows[50:], validation_ms=latencies[50:], seed=0, updates=200
    )
    constant = np.abs(latencies[:50].mean() / latencies[50:] - 1).mean()
    assert np.abs(network.predict(architectures[50:]) / latencies[50:] - 1).mean() < 0.3 * constant


def test_its_gradients_are_those_of_the_squared_error() -> None:
    rng = np.random.default_rng(0)
    parameters = paper_network._initial(rng)
    x, y = rng.random((5, 10)).astype(np.float32), rng.random(5).astype(np.float32)

    def loss() -> float:
        return float(np.mean((paper_network._forward(parameters, x)[-1][:, 0] - y) ** 2, dtype=float))

    for one, gradient in zip(parameters, paper_network._gradients(parameters, x, y), strict=True):
        before, direction = one.copy(), np.sign(gradient)
        one[...] = before + 1e-4 * direction
        up = loss()
        one[...] = before - 1e-4 * direction
        slope = (up - loss()) / 2e-4
        one[...] = before
        assert slope == pytest.approx(float(np.abs(gradient).sum()), rel=0.05)
