"""A reader of protocol buffers, to check a file before a library loads it."""

from collections.abc import Iterator


def fields_of(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Field number and content of each field of a message that has a length: texts, bytes and messages.
    Raises ValueError if the bytes are no message."""
    at = 0
    try:
        while at < len(message):
            tag, at = _varint(message, at)
            tag &= 0xFFFFFFFF  # libraries read no more bits of a longer tag
            kind = tag & 7
            if kind == 2:
                size, at = _varint(message, at)
                yield tag >> 3, message[at : at + size]
                at += size
            elif kind == 0:
                _, at = _varint(message, at)
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            else:
                raise ValueError("no protocol buffer")
    except IndexError as error:
        raise ValueError("no protocol buffer") from error


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number, and the position after it."""
    value = message[at] & 127
    shift = 0
    while message[at] > 127:
        at += 1
        shift += 7
        value |= (message[at] & 127) << shift
    return value, at + 1
