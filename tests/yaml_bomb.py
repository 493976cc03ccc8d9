"""A small YAML document that aliases make huge."""


def bomb(levels: int) -> str:
    """A few hundred bytes that stand for 9 to the power of `levels` words."""
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)
