"""How much text a SentencePiece model makes of little: a file of some kilobytes must not turn a line
into gigabytes.

A model is a protocol buffer. Its normalisers replace characters by texts that the file lists, and it says
what text stands for an unknown id.
"""

import struct

from hat.runtime.protocol_buffer import fields_of

# In bytes. NFKC's longest is 33; pieces have 16 characters unless someone asks for more.
LONGEST_REPLACEMENT = 256
LONGEST_PIECE = 4096
# Fields of a model and of what is in them: the training's text for unknown ids, and the rules of the two
# normalisers, of what is encoded and of what is decoded.
UNKNOWN, NORMALISERS = (2, 44), ((3, 2), (5, 2))


def longest_replacement(model: bytes) -> int:
    """Bytes of the longest text that the serialized `model` puts in the place of a character or of an
    unknown id.

    Raises ValueError where it is no model.
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
    """Of a normaliser's rules: the size of a trie, the trie, and texts that each end in a zero."""
    if len(rules) < 4:
        return 0
    (size,) = struct.unpack_from("<I", rules)
    return max(map(len, rules[4 + size :].split(b"\0")))
