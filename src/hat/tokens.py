"""The special tokens of every vocabulary: their ids and pieces."""

BOS, PAD, EOS, UNK = 0, 1, 2, 3
SPECIAL_PIECES = ("<s>", "<pad>", "</s>", "<unk>")
