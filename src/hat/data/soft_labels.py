"""A teacher's most probable tokens at every target position of a token store, on disk.

Files: `ids.bin` (uint16, or uint32 for a vocabulary of 65536 and more) and `probabilities.bin` (uint8),
each of shape (target tokens with </s>, k), sentence by sentence in the order of the text, the most
probable token first; and `manifest.json`. For k = 5 that is 15 bytes a token, where the published
code writes 60.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hat.data.batches import Ids
from hat.data.store import TokenStore, map_array
from hat.disk import make_folder, remove, replace_folder, unfinished
from hat.errors import UserError
from hat.files import check_keys, digest, file_digest, read_json, write_json

FORMAT = 1
IDS, PROBABILITIES, MANIFEST, PROGRESS = "ids.bin", "probabilities.bin", "manifest.json", "progress.json"
MANIFEST_KEYS = ("format", "text", "tokens", "top_k", "temperature", "vocab", IDS, PROBABILITIES, "digest")
# A row of stored probabilities adds up to this: each is off by less than one part of it.
WHOLE = 255

Probabilities = npt.NDArray[np.floating[Any]]


def quantise(probabilities: Probabilities) -> npt.NDArray[np.uint8]:
    """Rows (N, k) that add up to 1, in 255ths that add up to 255: each off by less than 1/255.

    The largest remainders are rounded up, so that each row read back is a distribution again.
    """
    exact = probabilities.astype(np.float64) * WHOLE
    parts = np.floor(exact)
    missing = WHOLE - parts.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(parts - exact, axis=1, kind="stable"), axis=1)
    rounded: npt.NDArray[np.uint8] = (parts + (rank < missing)).astype(np.uint8)
    return rounded


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels of `text`, read from memory-mapped files. `temperature`: of the teacher's softmax."""

    folder: Path
    text: TokenStore
    temperature: float
    ids: npt.NDArray[np.integer[Any]]  # (N, k)
    parts: npt.NDArray[np.uint8]  # (N, k), in 255ths

    @classmethod
    def open(cls, folder: Path, text: TokenStore) -> "SoftLabels":
        """Open the labels of `text`. Raises UserError if files are missing, cut short or another text's."""
        path = folder / MANIFEST
        manifest = check_keys(read_json(path), MANIFEST_KEYS, str(path))
        if manifest["format"] != FORMAT:
            problem = f"soft labels of format {manifest['format']}"
            raise UserError(f"{path}: {problem}; this version reads {FORMAT}")
        if digest({key: manifest[key] for key in MANIFEST_KEYS[:-1]}) != manifest["digest"]:
            raise UserError(f"{path}: the digest does not belong to this manifest; distil again")
        if manifest["text"] != text.digest or manifest["tokens"] != _tokens(text):
            raise UserError(f"{folder}: soft labels of another text than {text.folder}; distil again")
        shape = (manifest["tokens"], manifest["top_k"])
        ids, parts = (
            map_array(folder / name, kind, shape, remedy="distil again")
            for name, kind in _types(text).items()
        )
        return cls(folder, text, temperature=manifest["temperature"], ids=ids, parts=parts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files instead of getting their content."""
        return SoftLabels.open, (self.folder, self.text)

    def batch(self, rows: Ids) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Token ids and probabilities, both (B, T, k), of the sentences that `collate` reads as (B, T).

        Beyond a sentence's </s> both are 0. Raises UserError for content that no teacher can give.
        """
        starts, lengths = _places(self.text, rows)
        inside = np.arange(lengths.max()) < lengths[:, None]
        pieces = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        ids = np.zeros((*inside.shape, self.ids.shape[1]), np.int64)
        ids[inside] = np.concatenate([self.ids[piece] for piece in pieces])
        parts = np.zeros(ids.shape, np.uint8)
        parts[inside] = np.concatenate([self.parts[piece] for piece in pieces])
        if ids.max() >= self.text.vocab[1] or np.any(parts.sum(axis=2, dtype=np.int64)[inside] != WHOLE):
            raise UserError(f"{self.folder}: damaged soft labels; delete the folder to distil again")
        return ids, parts.astype(np.float32) / np.float32(WHOLE)


class SoftLabelWriter:
    """Writes the soft labels of `text` in any order, whole or not at all; continues after a kill.

    `done`: the number of saved pieces of work, which the caller skips.
    """

    def __init__(self, folder: Path, text: TokenStore, top_k: int, temperature: float) -> None:
        self._folder, self._partial = folder, unfinished(folder)
        self._text, self._top_k, self._temperature = text, top_k, temperature
        self._types = _types(text)
        progress = self._partial / PROGRESS
        self.done = int(read_json(progress)) if progress.exists() else 0

    def __enter__(self) -> Self:
        if not self.done:
            self._start()
        with ExitStack() as stack:
            names = (IDS, PROBABILITIES)
            self._streams = [stack.enter_context((self._partial / name).open("r+b")) for name in names]
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write(self, rows: Ids, ids: Ids, probabilities: Probabilities) -> None:
        """Write the labels of some sentences: `ids` and `probabilities` (B, T, k), T as in `collate`."""
        starts, lengths = _places(self._text, rows)
        parts = quantise(probabilities.reshape(-1, self._top_k)).reshape(ids.shape)
        values: tuple[npt.NDArray[Any], npt.NDArray[Any]] = (ids, parts)
        for stream, kind, value in zip(self._streams, self._types.values(), values, strict=True):
            for start, length, row in zip(starts.tolist(), lengths.tolist(), value, strict=True):
                stream.seek(start * self._top_k * kind.itemsize)
                stream.write(row[:length].astype(kind).tobytes())

    def save(self, done: int) -> None:
        """Save all that was written, so that `done` pieces of work need not be repeated."""
        for stream in self._streams:
            stream.flush()
            os.fsync(stream.fileno())
        write_json(self._partial / PROGRESS, done)
        self.done = done

    def finish(self) -> None:
        """Put the finished labels in their place."""
        content = {
            "format": FORMAT,
            "text": self._text.digest,
            "tokens": _tokens(self._text),
            "top_k": self._top_k,
            "temperature": self._temperature,
            "vocab": self._text.vocab[1],
            **{name: file_digest(self._partial / name) for name in self._types},
        }
        write_json(self._partial / MANIFEST, {**content, "digest": digest(content)})
        (self._partial / PROGRESS).unlink(missing_ok=True)
        replace_folder(self._partial, self._folder)

    def _start(self) -> None:
        remove(self._partial)
        make_folder(self._partial)
        for name, kind in self._types.items():
            with (self._partial / name).open("wb") as stream:
                stream.truncate(_tokens(self._text) * self._top_k * kind.itemsize)


def _places(text: TokenStore, rows: Ids) -> tuple[Ids, npt.NDArray[np.int32]]:
    """The first label and the number of labels of each sentence; each sentence before has its </s>."""
    return text.target_offsets[rows] + rows, text.target_lengths[rows] + 1


def _tokens(text: TokenStore) -> int:
    return len(text.target_tokens) + len(text)


def _types(text: TokenStore) -> Mapping[str, np.dtype[Any]]:
    kind = "<u2" if text.vocab[1] < 1 << 16 else "<u4"
    return {IDS: np.dtype(kind), PROBABILITIES: np.dtype(np.uint8)}
