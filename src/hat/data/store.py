"""Tokenised parallel text on disk, memory-mapped, with a manifest and a content hash."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hat.disk import make_folder, remove, replace_folder, unfinished
from hat.errors import UserError
from hat.files import check_keys, digest, read_json, write_json

FORMAT = 1
SIDES = ("source", "target")
OFFSET = np.dtype("<i8")
MANIFEST_KEYS = ("format", "sentences", "source", "target", "cleaning", "digest")
SIDE_KEYS = ("vocab", "dtype", "tokens", "tokens_sha256", "offsets_sha256")

# The ids of some consecutive sentences: (sources, targets), equally many, without </s>.
Chunk = tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]


def write_store(
    folder: Path, chunks: Iterable[Chunk], vocab: tuple[int, int], cleaning: Mapping[str, int] | None = None
) -> "TokenStore":
    """Write the sentences of `chunks` in order, in constant memory; whole or not at all.

    `vocab` are the sizes of the source and target vocabularies. `cleaning` counts go to the
    manifest as they stand when the chunks are exhausted. An existing store is replaced.

    Files: for each side `{side}.bin`, the ids end to end (uint16, or uint32 for a vocabulary of
    65536 and more), `{side}.offsets.bin` (int64: where sentence i starts; one entry more than
    sentences), and `manifest.json`; all little-endian.
    """
    partial = unfinished(folder)
    remove(partial)
    make_folder(partial)
    try:
        content = {"format": FORMAT, **_write_sides(partial, chunks, vocab)}
        manifest = {**content, "cleaning": dict(cleaning or {}), "digest": digest(content)}
        write_json(partial / "manifest.json", manifest)
        replace_folder(partial, folder)
    finally:
        remove(partial)
    return TokenStore.open(folder)


def _write_sides(folder: Path, chunks: Iterable[Chunk], vocab: tuple[int, int]) -> dict[str, Any]:
    with ExitStack() as stack:
        sides = zip(SIDES, vocab, strict=True)
        writers = {side: stack.enter_context(_SideWriter(folder, side, size)) for side, size in sides}
        for chunk in chunks:
            for writer, sentences in zip(writers.values(), chunk, strict=True):
                writer.add(sentences)
        entries = {side: writer.finish() for side, writer in writers.items()}
        return {"sentences": writers["source"].sentences, **entries}


class TokenStore:
    """Sentence pairs as ids, read from memory-mapped files: opening costs no memory for the ids."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.digest: str = manifest["digest"]
        """Content hash: equal stores have equal digests, wherever they lie."""
        self.vocab: tuple[int, int] = (manifest["source"]["vocab"], manifest["target"]["vocab"])
        ((self.source_tokens, self.source_offsets), (self.target_tokens, self.target_offsets)) = (
            _open_side(folder, side, manifest) for side in SIDES
        )
        self.source_lengths = np.diff(self.source_offsets).astype(np.int32)
        """Ids of each source sentence, without </s>."""
        self.target_lengths = np.diff(self.target_offsets).astype(np.int32)

    @classmethod
    def open(cls, folder: str | Path) -> "TokenStore":
        """Open a store. Raises UserError if files are missing, cut short or inconsistent."""
        folder = Path(folder)
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files instead of getting their content."""
        return TokenStore.open, (self.folder,)

    def source(self, index: int) -> npt.NDArray[np.int64]:
        """Ids of source sentence `index`, without </s>."""
        start, end = self.source_offsets[index : index + 2]
        return self.source_tokens[start:end].astype(np.int64)

    def target(self, index: int) -> npt.NDArray[np.int64]:
        """Ids of target sentence `index`, without </s>."""
        start, end = self.target_offsets[index : index + 2]
        return self.target_tokens[start:end].astype(np.int64)


class _SideWriter(ExitStack):
    """The two files of one side, hashed while they are written."""

    def __init__(self, folder: Path, side: str, vocab: int) -> None:
        super().__init__()
        self.vocab = vocab
        self.dtype = np.dtype("<u2" if vocab < 1 << 16 else "<u4")
        self.tokens, self.offsets = (
            _HashedFile(self.enter_context((folder / name).open("wb")))
            for name in (f"{side}.bin", f"{side}.offsets.bin")
        )
        self.offsets.write(np.zeros(1, OFFSET))
        self.sentences = self.end = 0

    def add(self, sentences: Sequence[Sequence[int]]) -> None:
        lengths = np.fromiter(map(len, sentences), OFFSET, len(sentences))
        ends = np.cumsum(lengths, dtype=OFFSET) + OFFSET.type(self.end)
        self.sentences += len(sentences)
        self.end += int(lengths.sum())
        self.tokens.write(np.fromiter(chain.from_iterable(sentences), self.dtype))
        self.offsets.write(ends)

    def finish(self) -> dict[str, Any]:
        """Hand all data to the operating system; returns the side's entry in the manifest."""
        return {
            "vocab": self.vocab,
            "dtype": self.dtype.name,
            "tokens": self.end,
            "tokens_sha256": self.tokens.finish(),
            "offsets_sha256": self.offsets.finish(),
        }


class _HashedFile:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = sha256()

    def write(self, array: npt.NDArray[Any]) -> None:
        data = array.tobytes()
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> str:
        self._file.flush()
        return self._hash.hexdigest()


def _open_side(
    folder: Path, side: str, manifest: Mapping[str, Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """One side's ids and offsets, checked against the manifest."""
    recorded = manifest[side]
    dtype = np.dtype(recorded["dtype"]).newbyteorder("<")
    tokens = map_array(folder / f"{side}.bin", dtype, (recorded["tokens"],), remedy="prepare again")
    path = folder / f"{side}.offsets.bin"
    offsets = map_array(path, OFFSET, (manifest["sentences"] + 1,), remedy="prepare again")
    if offsets[0] != 0 or offsets[-1] != recorded["tokens"] or np.any(np.diff(offsets) < 0):
        raise UserError(f"{path}: offsets do not fit the {recorded['tokens']} tokens; prepare again")
    return tokens, offsets


def map_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], *, remedy: str) -> npt.NDArray[Any]:
    """The memory-mapped array in a file. Raises UserError, which ends in `remedy`, for another size."""
    size, expected = (path.stat().st_size if path.exists() else None), prod(shape) * dtype.itemsize
    if size != expected:
        actual = "missing" if size is None else f"{size} bytes"
        raise UserError(f"{path}: {actual}, the manifest says {expected} bytes; {remedy}")
    return np.memmap(path, dtype=dtype, mode="r", shape=shape) if expected else np.empty(shape, dtype)
