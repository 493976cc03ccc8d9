"""A synchronous English–German grammar: one derivation, two strings."""
