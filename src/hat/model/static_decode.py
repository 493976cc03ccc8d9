"""Incremental decoding over preallocated buffers of few shapes, so that a GPU can replay a recorded step.

Sizes are rounded up to powers of two: sentences, source length, and the length of the key–value
cache, of which a mask hides the positions not yet decoded. A CUDA graph is recorded once per combination.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hat.architecture import decoder_states
from hat.model.state import Cache, Memory, PassCaches
from hat.model.transformer import Transformer
from hat.tokens import PAD

SHORTEST = 32  # positions: shorter source or cache lengths share one shape
WORKSPACES = 4  # shapes of source batches whose buffers and graphs are kept


class StaticDecoder:
    """Runs a Transformer for `beam_search`, with its tokens and scores. One decode at a time.

    `capture`: record steps as CUDA graphs; where that fails they run one operation at a time.
    """

    def __init__(self, model: Transformer, capture: bool) -> None:
        self.model = model
        self.capture = capture
        self._workspaces: dict[tuple[int, int], Workspace] = {}

    def start(self, source: Tensor) -> "StaticState":
        """Encode source (B, S) and get ready for `step`; ends the decode before it."""
        sentences, length = source.shape
        padded = F.pad(source, (_bucket(length, SHORTEST) - length, 0), value=PAD)
        memories = self.model.start(padded).memories
        key = (_bucket(sentences), padded.shape[1])
        space = self._workspaces.pop(key, None) or Workspace(self.model, key[0], memories)
        self._workspaces[key] = space  # last in the order of use
        if len(self._workspaces) > WORKSPACES:
            del self._workspaces[next(iter(self._workspaces))]
        space.load(memories)
        return StaticState(space, sentences)

    def step(self, tokens: Tensor, state: "StaticState") -> Tensor:
        """Logits (B·K, V) after one more token (B·K) of every hypothesis; `state` moves on."""
        space, beam = state.space, tokens.shape[0] // state.sentences
        sentences, length = _bucket(state.sentences), _bucket(state.length + 1, SHORTEST)
        space.reserve(space.sentences * beam, length)
        # Before a recording, whose trial run writes at this position: only here it may, and the position of
        # the step before can lie beyond `length`.
        space.position.fill_(state.length)
        graph = self._graph(space, sentences, beam, length) if self.capture else None
        space.tokens[: len(tokens)] = tokens
        space.parents[: len(tokens)] = space.rows[: len(tokens)] if state.parents is None else state.parents
        state.length += 1
        if graph is None:
            return space.step(sentences, beam, length)[: len(tokens)]
        graph.graph.replay()
        return graph.logits[: len(tokens)]

    def _graph(self, space: "Workspace", sentences: int, beam: int, length: int) -> "_Graph | None":
        key = (sentences, beam, length)
        if key not in space.graphs:
            try:
                space.graphs[key] = _record(space, *key)
            except RuntimeError:
                self.capture = False
                return None
        return space.graphs[key]


@dataclass
class StaticState:
    """A decode under way: `sentences` still running, `length` tokens decoded, and the rows (b·K)
    whose caches the next step's hypotheses continue."""

    space: "Workspace"
    sentences: int
    length: int = 0
    parents: Tensor | None = None

    def select(self, rows: Tensor, parents: Tensor) -> None:
        """Keep these sentences, as `DecoderState.select`; the next step moves the caches."""
        self.parents = (rows[:, None] * parents.shape[1] + parents).flatten()
        if len(rows) < self.sentences:
            self.space.load([memory.select(rows) for memory in self.space.memories])
            self.sentences = len(rows)


@dataclass
class _Graph:
    """A recorded step and its output, the logits."""

    graph: torch.cuda.CUDAGraph
    logits: Tensor


class Workspace:
    """The buffers of one batch size B and source length, and the graphs that read and write them.

    R = B·K rows and T positions grow to the largest asked for; then graphs are recorded anew.
    """

    def __init__(self, model: Transformer, sentences: int, like: list[Memory]) -> None:
        self.sentences = sentences
        self.memories = []
        for memory in like:
            keys = memory.keys.new_zeros(sentences, *memory.keys.shape[1:])
            # Rows without a sentence see zeros: a softmax over nothing would be NaN.
            mask = torch.ones(sentences, 1, 1, keys.shape[2], dtype=torch.bool, device=keys.device)
            self.memories.append(Memory(keys, torch.zeros_like(keys), mask))
        self.graphs: dict[tuple[int, int, int], _Graph] = {}
        self._model = model
        states = decoder_states(model.config.architecture)
        # For each layer the widths of its passes' keys; a layer without self-attention has none.
        self._widths = [[heads * width for _, heads, width in state.self_attentions] for state in states]
        self._matrix = model.target_matrix()
        self.position = torch.zeros(1, dtype=torch.long, device=self._matrix.device)
        self._allocate(0, 0)

    def load(self, memories: list[Memory]) -> None:
        """Write the memories of b ≤ B sentences into the first rows."""
        for buffer, new in zip(self.memories, memories, strict=True):
            count = new.keys.shape[0]
            buffer.keys[:count], buffer.values[:count] = new.keys, new.values
            assert buffer.mask is not None
            buffer.mask[:count] = True if new.mask is None else new.mask

    def reserve(self, rows: int, length: int) -> None:
        """Enlarge the buffers to at least so many rows and positions; the cache keeps its content."""
        old = self.cache
        old_rows, old_length = old.shape[2:4]
        if rows <= old_rows and length <= old_length:
            return
        self.graphs.clear()
        self._allocate(max(rows, old_rows), max(length, old_length))
        self.cache[:, :, :old_rows, :old_length] = old

    def _allocate(self, rows: int, length: int) -> None:
        # Keys and values of each pass, in the width of the widest.
        widths = [width for passes in self._widths for width in passes]
        self.cache = self._matrix.new_zeros(len(widths), 2, rows, length, max(widths, default=0))
        self.rows = torch.arange(rows, device=self._matrix.device)
        self.tokens, self.parents = torch.zeros_like(self.rows), torch.zeros_like(self.rows)
        self._order = torch.arange(length, device=self._matrix.device)
        self._positions = self._model.target_positions(length)

    def step(self, sentences: int, beam: int, length: int) -> Tensor:
        """Logits (R, V) of the first `sentences`·`beam` rows, looking at `length` positions."""
        rows = sentences * beam
        cache = self.cache[:, :, :, :length]
        cache[:, :, :rows] = cache.index_select(2, self.parents[:rows])
        seen = (self._order[:length] <= self.position)[None]
        x = self._model.embed_at(self.tokens[:rows], self._positions[self.position])
        pasts = iter(cache[:, :, :rows])
        for block, widths, memory in zip(self._model.layers(), self._widths, self.memories, strict=True):
            assert memory.mask is not None
            first = Memory(memory.keys[:sentences], memory.values[:sentences], memory.mask[:sentences])
            caches: list[Cache] = [_StaticCache(next(pasts)[..., :width], self.position) for width in widths]
            x = block(x, first, seen, PassCaches(caches or block.cache().passes))
        return self._model.logits(self._model.decoder_norm(x)[:, 0])


class _StaticCache(Cache):
    """One pass's keys and values (2, R, T, Q), of which `append` writes those at `position`."""

    def __init__(self, buffer: Tensor, position: Tensor) -> None:
        super().__init__()
        self._buffer, self._position = buffer, position

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.stack((keys, values)).transpose(2, 3).flatten(3)  # (2, R, 1, Q)
        self._buffer.index_copy_(2, self._position, new)
        # (2, R, T, Q) -> (2, R, H, T, Q/H)
        cached = self._buffer.view(*self._buffer.shape[:3], keys.shape[1], -1).transpose(2, 3)
        return cached[0], cached[1]


def _record(space: Workspace, sentences: int, beam: int, length: int) -> _Graph:
    """Record a step. Raises RuntimeError where that cannot be done.

    A trial run comes first, in which libraries initialise themselves. Its rows are their own parents, so that
    the cache of earlier positions stays as it is; what it writes at the space's position, the step after it
    overwrites.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    space.parents.copy_(space.rows)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        space.step(sentences, beam, length)
    torch.cuda.current_stream().wait_stream(stream)
    # Threads of other engines may use the GPU meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        logits = space.step(sentences, beam, length)
    return _Graph(graph, logits)


def _bucket(size: int, least: int = 1) -> int:
    """The least power of two that is at least `size` and `least`."""
    return max(least, 1 << max(size - 1, 0).bit_length())
