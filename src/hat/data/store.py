"""Tokenised parallel text on disk, memory-mapped, with a manifest and a content hash."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hat.errors import UserError
from hat.files import check_keys, digest, read_json, write_json

FORMAT = 1
SIDES = ("source", "target")
OFFSET = np.dtype("<u8")
MANIFEST_KEYS = ("format", "sentences", "source", "target", "cleaning", "digest")
SIDE_KEYS = ("vocab", "dtype", "tokens", "tokens_sha256", "offsets_sha256")

# The ids of some consecutive sentences: (sources, targets), equally many, without </s>.
Chunk = tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]


def write_store(
    folder: Path,
    chunks: Iterable[Chunk],
    vocab: tuple[int, int],
    cleaning: Mapping[str, int] | None = None,
) -> "TokenStore":
    """Write the sentences of `chunks` in order, in constant memory; whole or not at all.

    `vocab` are the sizes of the source and target vocabularies. `cleaning` counts go to the
    manifest as they stand when the chunks are exhausted. An existing store is replaced.

    Files: for each side `{side}.bin`, the ids end to end (uint16, or uint32 for a vocabulary of
    65536 and more), `{side}.offsets.bin` (uint64: where sentence i starts; one entry more than
    sentences), and `manifest.json`; all little-endian.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    writers = [_SideWriter(partial, side, size) for side, size in zip(SIDES, vocab, strict=True)]
    for chunk in chunks:
        for writer, sentences in zip(writers, chunk, strict=True):
            writer.add(sentences)
    content = {
        "format": FORMAT,
        "sentences": writers[0].sentences,
        **{side: writer.close() for side, writer in zip(SIDES, writers, strict=True)},
    }
    manifest = {**content, "cleaning": dict(cleaning or {}), "digest": digest(content)}
    write_json(partial / "manifest.json", manifest)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return TokenStore.open(folder)


class TokenStore:
    """Sentence pairs as ids, read from memory-mapped files: opening costs no memory for the ids."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.digest: str = manifest["digest"]
        """Content hash: equal stores have equal digests, wherever they lie."""
        self.vocab: tuple[int, int] = (manifest["source"]["vocab"], manifest["target"]["vocab"])
        (
            (self.source_tokens, self.source_offsets),
            (self.target_tokens, self.target_offsets),
        ) = (_open_side(folder, side, manifest) for side in SIDES)
        self.source_lengths = np.diff(self.source_offsets)
        """Ids of each source sentence, without </s>."""
        self.target_lengths = np.diff(self.target_offsets)

    @classmethod
    def open(cls, folder: Path) -> "TokenStore":
        """Open a store. Raises UserError if files are missing, cut short or inconsistent."""
        path = folder / "manifest.json"
        manifest = read_json(path)
        version = manifest.get("format") if isinstance(manifest, Mapping) else None
        if version != FORMAT:
            raise UserError(f"{path}: token store format {version}; this version reads {FORMAT}")
        check_keys(manifest, MANIFEST_KEYS, str(path))
        for side in SIDES:
            check_keys(manifest[side], SIDE_KEYS, f"{path}: {side}")
        content = {key: manifest[key] for key in ("format", "sentences", *SIDES)}
        if digest(content) != manifest["digest"]:
            raise UserError(f"{path}: the digest does not belong to this manifest; prepare again")
        return cls(folder, manifest)

    def __len__(self) -> int:
        return int(self.manifest["sentences"])

    def source(self, index: int) -> npt.NDArray[np.int64]:
        """Ids of source sentence `index`, without </s>."""
        start, end = self.source_offsets[index : index + 2]
        return self.source_tokens[start:end].astype(np.int64)

    def target(self, index: int) -> npt.NDArray[np.int64]:
        """Ids of target sentence `index`, without </s>."""
        start, end = self.target_offsets[index : index + 2]
        return self.target_tokens[start:end].astype(np.int64)


class _SideWriter:
    """The two files of one side, hashed while they are written."""

    def __init__(self, folder: Path, side: str, vocab: int) -> None:
        self.vocab = vocab
        self.dtype = np.dtype("<u2" if vocab < 1 << 16 else "<u4")
        self.tokens = _HashedFile(folder / f"{side}.bin")
        self.offsets = _HashedFile(folder / f"{side}.offsets.bin")
        self.offsets.write(np.zeros(1, OFFSET))
        self.sentences = 0
        self.end = 0

    def add(self, sentences: Sequence[Sequence[int]]) -> None:
        lengths = np.fromiter(map(len, sentences), OFFSET, len(sentences))
        ends = np.cumsum(lengths, dtype=OFFSET) + OFFSET.type(self.end)
        self.sentences += len(sentences)
        self.end += int(lengths.sum())
        self.tokens.write(np.fromiter(chain.from_iterable(sentences), self.dtype))
        self.offsets.write(ends)

    def close(self) -> dict[str, Any]:
        return {
            "vocab": self.vocab,
            "dtype": self.dtype.name,
            "tokens": self.end,
            "tokens_sha256": self.tokens.close(),
            "offsets_sha256": self.offsets.close(),
        }


class _HashedFile:
    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._hash = sha256()

    def write(self, array: npt.NDArray[Any]) -> None:
        data = array.tobytes()
        self._hash.update(data)
        self._file.write(data)

    def close(self) -> str:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()


def _open_side(
    folder: Path, side: str, manifest: Mapping[str, Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Map one side's ids and read its offsets, checked against the manifest."""
    told = manifest[side]
    tokens = _map(folder / f"{side}.bin", np.dtype(told["dtype"]).newbyteorder("<"), told["tokens"])
    path = folder / f"{side}.offsets.bin"
    offsets = np.array(_map(path, OFFSET, manifest["sentences"] + 1), dtype=np.int64)
    if offsets[0] != 0 or offsets[-1] != told["tokens"] or np.any(np.diff(offsets) < 0):
        raise UserError(f"{path}: offsets do not fit the {told['tokens']} tokens; prepare again")
    return tokens, offsets


def _map(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    size, expected = (path.stat().st_size if path.exists() else None), count * dtype.itemsize
    if size != expected:
        found = "missing" if size is None else f"{size} bytes"
        raise UserError(f"{path}: {found}, the manifest says {expected} bytes; prepare again")
    return np.memmap(path, dtype=dtype, mode="r") if count else np.empty(0, dtype)
