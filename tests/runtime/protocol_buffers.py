"""Protocol buffers taken apart into records, and put together again."""

from collections.abc import Callable, Iterator


def changed_within(content: bytes, path: tuple[int, ...], change: Callable[[bytes], bytes]) -> bytes:
    """The records with the one at `path` (numbers of fields) changed."""
    if not path:
        return change(content)
    records = (
        (tag, changed_within(payload, path[1:], change) if tag == path[0] << 3 | 2 else payload)
        for tag, payload in records_of(content)
    )
    return b"".join(record(*one) for one in records)


def records_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and payload of each record. Raises IndexError or ValueError for bytes that are no records."""
    at = 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        start = at
        if tag & 7 == 0:
            _, at = _read_varint(content, at)
        elif tag & 7 == 2:
            size, start = _read_varint(content, at)
            at = start + size
        elif tag & 7 in (1, 5):
            at += 8 if tag & 7 == 1 else 4
        else:
            raise ValueError("no such kind of record")
        if at > len(content) or tag >> 3 == 0:
            raise IndexError
        yield tag, content[start:at]


def record(tag: int, payload: bytes) -> bytes:
    return varint(tag) + (varint(len(payload)) if tag & 7 == 2 else b"") + payload


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (content[at] & 127) << shift
        shift += 7
        at += 1
        if content[at - 1] < 128:
            return value, at


def varint(value: int) -> bytes:
    content = bytearray()
    while value > 127:
        content.append(value & 127 | 128)
        value >>= 7
    return bytes([*content, value])


# ---- any file ----
