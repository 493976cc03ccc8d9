"""Training pairs without text, or seen before. Validation and test text is never cleaned."""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hat.data.corpus import Pair

BUCKETS = 64
RECORD = np.dtype([("key", "<u8"), ("check", "<u8"), ("line", "<u8")])
FLUSH_EVERY = 1 << 16


def keep_flags(pairs: Iterable[Pair], work: Path, counts: Counter[str]) -> tuple[bytearray, int]:
    """One flag for every pair: 1 to keep it, 0 if a side is empty or the pair was seen before; and the bytes
    (UTF-8) of all pairs that have two sides.

    Of equal pairs the first is kept. Memory is one byte a pair, plus one bucket of hashes: 128-bit hashes
    go to BUCKETS files in the existing folder `work`, and equal ones to the same bucket. Adds the numbers of
    read and dropped pairs to `counts`.
    """
    keep, size = bytearray(), 0
    with _Buckets(work) as buckets:
        for line, (source, target) in enumerate(pairs):
            whole = bool(source and target)
            keep.append(whole)
            if whole:
                text = f"{source}\n{target}".encode()
                size += len(text)
                buckets.add(text, line)
    counts["read"] += len(keep)
    counts["empty"] += len(keep) - sum(keep)
    flags = np.frombuffer(keep, dtype=np.uint8)
    for repeated in buckets.repeated():
        flags[repeated] = 0
        counts["duplicate"] += len(repeated)
    return keep, size


class _Buckets(ExitStack):
    """Hashes of sentence pairs on disk, split so that one part fits in memory."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self._paths = [work / f"hashes.{bucket:02}" for bucket in range(BUCKETS)]
        self._files = [self.enter_context(path.open("wb")) for path in self._paths]
        self._hashes = bytearray()
        self._lines: list[int] = []
        self.callback(self._flush)

    def add(self, text: bytes, line: int) -> None:
        self._hashes += blake2b(text, digest_size=16).digest()
        self._lines.append(line)
        if len(self._lines) == FLUSH_EVERY:
            self._flush()

    def _flush(self) -> None:
        halves = np.frombuffer(bytes(self._hashes), dtype="<u8").reshape(-1, 2)
        records = np.empty(len(self._lines), dtype=RECORD)
        records["key"], records["check"], records["line"] = *halves.T, self._lines
        bucket = records["key"] % BUCKETS
        for index, file in enumerate(self._files):
            file.write(records[bucket == index].tobytes())
        self._hashes.clear()
        self._lines.clear()

    def repeated(self) -> Iterable[npt.NDArray[np.uint64]]:
        """Yield, bucket by bucket, the lines whose pair occurs on an earlier line."""
        for path in self._paths:
            records = np.fromfile(path, dtype=RECORD)
            records = records[np.lexsort((records["line"], records["check"], records["key"]))]
            same = np.ones(len(records), dtype=bool)
            for field in ("key", "check"):
                same[1:] &= records[field][1:] == records[field][:-1]
            same[:1] = False
            yield records["line"][same]
            path.unlink()
