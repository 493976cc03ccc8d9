"""The building blocks of all families: the weights of each kind of layer, and an attention's products."""

Shapes = dict[str, tuple[int, ...]]


def stacked(name: str, count: int, outputs: int, inputs: int) -> Shapes:
    """`count` linear maps of one input, along a first axis."""
    return {f"{name}.weight": (count, outputs, inputs), f"{name}.bias": (count, outputs)}


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    """A linear map."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, dim: int) -> Shapes:
    """A layer normalization."""
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def self_attention(name: str, dim: int, qkv: int) -> Shapes:
    """Attention of a sequence `dim` wide to itself."""
    return stacked(f"{name}.qkv", 3, qkv, dim) | linear(f"{name}.out", dim, qkv)


def cross_attention(name: str, dim: int, memory_dim: int, qkv: int) -> Shapes:
    """Attention of a sequence `dim` wide to one that is `memory_dim` wide."""
    return (
        stacked(f"{name}.q", 1, qkv, dim)
        | stacked(f"{name}.kv", 2, qkv, memory_dim)
        | linear(f"{name}.out", dim, qkv)
    )


def attention_macs(qkv: int, query_dim: int, key_dim: int, *, queries: int, keys: int) -> int:
    """Multiply-accumulates of one attention by the published rules (see `cost`)."""
    projections = queries * query_dim * qkv + 2 * keys * key_dim * qkv + queries * qkv * query_dim
    products = 2 * queries * keys * qkv
    return projections + products + queries * qkv + 3
