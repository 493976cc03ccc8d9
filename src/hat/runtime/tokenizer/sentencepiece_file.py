"""The most text that a SentencePiece model makes of one character or id: a file of some kilobytes must not
turn a line into gigabytes.

A model is a protocol buffer. Its normalisers replace characters by texts listed in the file, and it names the
text of an unknown id.
"""

import struct

from hat.runtime.protocol_buffer import fields_of

# In bytes. The longest replacement in NFKC has 33; pieces have 16 characters unless the trainer was told
# otherwise.
LONGEST_REPLACEMENT = 256
LONGEST_PIECE = 4096
# Field numbers of a model and its parts: the text for unknown ids in the trainer's settings, and the rules of
# the two normalisers, for encoding and for decoding.
UNKNOWN, NORMALISERS = (2, 44), ((3, 2), (5, 2))


def longest_replacement(model: bytes) -> int:
    """Length in bytes of the longest text that the serialized `model` makes of one character or of an unknown
    id.

    Raises ValueError if the bytes are no model.
    """
    longest = 0
    for number, message in fields_of(memoryview(model)):
        if number in (UNKNOWN[0], *(normaliser[0] for normaliser in NORMALISERS)):
            for inner, content in fields_of(message):
                if (number, inner) in NORMALISERS:
                    longest = max(longest, _longest_text(bytes(content)))
                elif (number, inner) == UNKNOWN:
                    longest = max(longest, len(content))
    return longest


def _longest_text(rules: bytes) -> int:
    """The longest text in a normaliser's rules: the size of a trie, the trie, and texts that each end in a
    zero."""
    if len(rules) < 4:
        return 0
    (size,) = struct.unpack_from("<I", rules)
    return max(map(len, rules[4 + size :].split(b"\0")))
