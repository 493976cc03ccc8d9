"""The token store gives back what was written and refuses what is not whole."""

import json
from pathlib import Path

import numpy as np
import pytest

from hat.data import TokenStore, write_store
from hat.errors import HatError, UserError

SOURCES = [[5, 6, 7], [], [9], [300] * 40]
TARGETS = [[8], [4, 4], [70_000, 65_535], []]
CHUNKS = [(SOURCES[:1], TARGETS[:1]), (SOURCES[1:], TARGETS[1:])]


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return write_store(tmp_path / "train", CHUNKS, (65_535, 70_001), {"read": 9})


def test_round_trip(store: TokenStore) -> None:
    assert len(store) == 4
    for i in range(4):
        assert store.source(i).tolist() == SOURCES[i]
        assert store.target(i).tolist() == TARGETS[i]
    assert store.source_lengths.tolist() == [3, 0, 1, 40]
    assert store.target_lengths.tolist() == [1, 2, 2, 0]
    assert store.vocab == (65_535, 70_001)
    assert (store.source_tokens.dtype, store.target_tokens.dtype) == (np.uint16, np.uint32)
    assert store.manifest["cleaning"] == {"read": 9}
    assert isinstance(store.source_tokens, np.memmap)
    assert not store.source_tokens.flags.writeable


def test_digest_follows_the_content_alone(store: TokenStore, tmp_path: Path) -> None:
    whole = [(SOURCES, TARGETS)]
    assert write_store(tmp_path / "a", whole, (65_535, 70_001)).digest == store.digest
    assert write_store(tmp_path / "a", whole, (65_535, 70_002)).digest != store.digest
    assert write_store(tmp_path / "a", [(TARGETS, SOURCES)], (70_001, 65_535)).digest != store.digest
    assert write_store(tmp_path / "a", whole[:0], (9, 9)).digest != store.digest


def test_a_failed_writer_leaves_what_was_there(store: TokenStore, tmp_path: Path) -> None:
    def failing():  # type: ignore[no-untyped-def]
        yield CHUNKS[0]
        raise HatError("stop")

    with pytest.raises(HatError, match="stop"):
        write_store(tmp_path / "train", failing(), (10, 10))
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    assert TokenStore.open(tmp_path / "train").digest == store.digest


@pytest.mark.parametrize("name", ["source.bin", "target.bin", "source.offsets.bin", "target.offsets.bin"])
def test_truncated_extended_or_missing_files(store: TokenStore, name: str) -> None:
    path = store.folder / name
    data = path.read_bytes()
    for damaged in (data[:-1], data + b"\0\0", b""):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"{name}: \d+ bytes, the manifest says {len(data)}"):
            TokenStore.open(store.folder)
    path.unlink()
    with pytest.raises(UserError, match=f"{name}: missing"):
        TokenStore.open(store.folder)


@pytest.mark.parametrize("offsets", [[1, 3, 3, 4, 44], [0, 3, 3, 4, 43], [0, 5, 3, 4, 44]])
def test_inconsistent_offsets(store: TokenStore, offsets: list[int]) -> None:
    (store.folder / "source.offsets.bin").write_bytes(np.array(offsets, "<i8").tobytes())
    with pytest.raises(UserError, match="offsets do not fit the 44 tokens"):
        TokenStore.open(store.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2; this version reads 1"),
        ({"sentences": 3}, "digest does not belong"),
        ({"digest": "0"}, "digest does not belong"),
        ({"extra": 1}, "unknown key extra"),
        ({"source": {}}, "source: missing key vocab"),
        ({"target": 3}, "target: expected a mapping"),
    ],
)
def test_wrong_manifest(store: TokenStore, change: dict[str, object], message: str) -> None:
    path = store.folder / "manifest.json"
    path.write_text(json.dumps({**store.manifest, **change}))
    with pytest.raises(UserError, match=message):
        TokenStore.open(store.folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_damaged_manifest(store: TokenStore, text: str) -> None:
    (store.folder / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        TokenStore.open(store.folder)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        TokenStore.open(tmp_path / "none")
