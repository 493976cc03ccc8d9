"""The two sizes of a model: as the paper counts, and as files."""

from dataclasses import dataclass
from pathlib import Path

from hat.architecture import ModelConfig, artefact_bytes, weight_counts

WEIGHT_FILES = (".safetensors", ".onnx")


@dataclass(frozen=True)
class Sizes:
    """Bytes of one model. `files`: path within its folder → bytes, of everything that translating needs;
    `float32_bytes`: their sum if the weights were float32. `published` and `published_float32`: as the paper
    counts (`published_bytes`)."""

    files: dict[str, int]
    float32_bytes: int
    published: int
    published_float32: int

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def published_bytes(model: ModelConfig, precision: str = "float32") -> int:
    """Bytes of the parameters without embeddings and output projection, the only ones that the paper counts:
    no code books, no scales, no tokenizer, and biases and norms as if they were packed too."""
    return artefact_bytes(model, precision)[0]


def sizes_of(folder: Path, model: ModelConfig, precision: str) -> Sizes:
    """Both sizes of a model that lies in `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    weights = 4 * weight_counts(model)[1]
    others = sum(size for name, size in files.items() if not name.endswith(WEIGHT_FILES))
    return Sizes(files, weights + others, published_bytes(model, precision), published_bytes(model))
