"""Zstandard, from the standard library where that has it."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def zstandard(data: bytes) -> bytes:
    """`data` as the program `zstd` compresses it, with a checksum."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
