"""Weights at rest: precisions, code books, and the file that holds them."""
