"""Soft labels on disk: what is read back, how far off it is, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from hat.data import SoftLabels, TokenStore, collate, sequential_batches, write_store
from hat.data.soft_labels import WHOLE, SoftLabelWriter, quantise
from hat.errors import UserError
from hat.files import digest

K = 3


def text(folder: Path, vocab: int = 50) -> TokenStore:
    rng = np.random.default_rng(0)
    sides = [[rng.integers(4, 50, rng.integers(0, 9)).tolist() for _ in range(30)] for _ in range(2)]
    return write_store(folder / "text", [(sides[0], sides[1])], (vocab, vocab))


def teacher(store: TokenStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels that depend on nothing but the sentence and the position."""
    length = collate(store, rows).target_out.shape[1]
    seeds = (rows[:, None] * 100 + np.arange(length))[..., None] + np.arange(K)
    ids = (seeds * 7919) % store.vocab[1]
    weights = 1 + (seeds * 104729) % 97
    return ids, weights / weights.sum(-1, keepdims=True)


def write(store: TokenStore, folder: Path, stop_after: int | None = None) -> None:
    batches = sequential_batches(store, 60)
    with SoftLabelWriter(folder, store, K, 1.0) as writer:
        for number in range(writer.done, len(batches)):
            if number == stop_after:
                raise KeyboardInterrupt
            writer.write(batches[number], *teacher(store, batches[number]))
            writer.save(number + 1)
        writer.finish()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_probability_is_off_by_less_than_a_255th() -> None:
    rng = np.random.default_rng(1)
    for k in (1, 2, 5, 40, 300):
        for sharpness in (0.1, 1.0, 10.0):
            exact = rng.dirichlet(np.full(k, sharpness), 200).astype(np.float32)
            stored = quantise(exact)
            assert stored.dtype == np.uint8
            assert np.all(stored.sum(axis=1, dtype=int) == WHOLE)
            assert np.abs(stored / WHOLE - exact).max() < 1 / 255 + 1e-6


@pytest.mark.parametrize(("vocab", "size"), [(50, 2), (1 << 16, 4)])
def test_any_batch_reads_what_was_written(tmp_path: Path, vocab: int, size: int) -> None:
    store = text(tmp_path, vocab)
    write(store, tmp_path / "labels")
    labels = SoftLabels.open(tmp_path / "labels", store)
    tokens = len(store.target_tokens) + len(store)
    assert (tmp_path / "labels" / "ids.bin").stat().st_size == tokens * K * size
    assert (tmp_path / "labels" / "probabilities.bin").stat().st_size == tokens * K
    rows = np.array([7, 0, 29, 13])
    ids, probabilities = labels.batch(rows)
    real = collate(store, rows).target_out != 1
    expected_ids, expected = teacher(store, rows)
    assert ids.shape == probabilities.shape == (*real.shape, K)
    assert np.array_equal(ids[real], expected_ids[real])
    assert np.abs(probabilities - expected)[real].max() < 1 / 255
    assert probabilities[real].sum(-1) == pytest.approx(1)
    assert not ids[~real].any()
    assert not probabilities[~real].any()


@pytest.mark.parametrize("stop_after", [0, 1, 4])
def test_killed_writing_goes_on_to_the_same_bytes(tmp_path: Path, stop_after: int) -> None:
    store = text(tmp_path)
    write(store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write(store, tmp_path / "cut", stop_after)
    assert not (tmp_path / "cut").exists(), "nothing half-written looks whole"
    write(store, tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "text", "whole"]


def test_damage_is_refused(tmp_path: Path) -> None:
    store = text(tmp_path)
    folder = tmp_path / "labels"
    write(store, folder)
    whole = content(folder)
    for name in ("ids.bin", "probabilities.bin"):
        (folder / name).write_bytes(whole[name][:-1])
        with pytest.raises(UserError, match=rf"{name}: {len(whole[name]) - 1} bytes, the manifest says"):
            SoftLabels.open(folder, store)
        (folder / name).unlink()
        with pytest.raises(UserError, match=rf"{name}: missing"):
            SoftLabels.open(folder, store)
        (folder / name).write_bytes(b"\xff" * len(whole[name]))
        with pytest.raises(UserError, match="damaged soft labels; delete"):
            SoftLabels.open(folder, store).batch(np.arange(len(store)))
        (folder / name).write_bytes(whole[name])
    SoftLabels.open(folder, store).batch(np.arange(len(store)))

    manifest = json.loads(whole["manifest.json"])
    for change, message in (
        ({"format": 9}, "format 9"),
        ({"top_k": 1}, "digest does not belong"),
        ({"surprise": 1}, "unknown key surprise"),
    ):
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(UserError, match=message):
            SoftLabels.open(folder, store)


def test_labels_of_another_text_are_refused(tmp_path: Path) -> None:
    store = text(tmp_path)
    write(store, tmp_path / "labels")
    other = write_store(tmp_path / "other", [([[4]], [[5, 6]])], (50, 50))
    with pytest.raises(UserError, match="soft labels of another text"):
        SoftLabels.open(tmp_path / "labels", other)
    manifest = json.loads((tmp_path / "labels" / "manifest.json").read_text())
    manifest["text"] = other.digest
    manifest["digest"] = digest({key: manifest[key] for key in manifest if key != "digest"})
    (tmp_path / "labels" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="soft labels of another text"):
        SoftLabels.open(tmp_path / "labels", other)
