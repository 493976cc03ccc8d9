"""From a published checkpoint, its dictionaries and its merges to an artefact."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hat.architecture import Architecture
from hat.architecture.published import read_content
from hat.disk import Room
from hat.errors import UserError
from hat.files import file_digest
from hat.interop.checkpoint import ReferenceCheckpoint, read_checkpoint
from hat.interop.published_yaml import published_architecture, read_published_yaml
from hat.interop.supertransformer import supertransformer
from hat.model import SuperTransformer, Transformer
from hat.runtime import Artefact, ArtefactConfig, DecodeOptions, MosesOptions, TokenizerConfig
from hat.runtime.tokenizer import MOSES_BPE, load_codes, read_dictionary
from hat.version import __version__

# The published test scripts' settings; 200 tokens at most, not counting the final </s>.
WMT = DecodeOptions(beam=4, length_penalty=0.6, max_length_offset=201)
IWSLT = DecodeOptions(beam=5, length_penalty=1.0, max_length_offset=201)
# What aggressive dash splitting left in the published texts.
DASHES = ("##AT##-##AT##", "@-@")
TYPOGRAPHIC = tuple("„“”‘’")
UNKNOWN_LANGUAGE = "und"


def import_checkpoint(
    path: Path,
    folder: Path,
    *,
    architecture_file: Path | None = None,
    dictionaries: Sequence[Path] = (),
    codes: Path | None = None,
    languages: tuple[str | None, str | None] = (None, None),
) -> Artefact:
    """Write a published checkpoint as an artefact folder, whole or not at all, and return it.

    The SubTransformer is the one in `architecture_file` (HAT's form or the published code's), else the
    one that the checkpoint was trained for, else the whole SuperTransformer. With `dictionaries`
    (one for both sides, or source and target) and `codes` (of subword-nmt) it gets a tokenizer, and
    can only be timed without. `languages`: codes of source and target, for a checkpoint without them.
    Raises UserError where a file is damaged or they do not fit each other.
    """
    checkpoint = read_checkpoint(path)
    network = supertransformer(checkpoint, str(path))
    architecture, source = _architecture(checkpoint, network, path, architecture_file)
    try:
        model = network.extract(architecture)
    except UserError as error:
        raise UserError(f"{architecture_file or path}: {error}") from error
    args = checkpoint.args
    source_language = str(languages[0] or args.get("source_lang") or UNKNOWN_LANGUAGE)
    target_language = str(languages[1] or args.get("target_lang") or UNKNOWN_LANGUAGE)
    spoken = (source_language, target_language)
    with TemporaryDirectory() as temporary:
        with Room(Path(temporary)):
            tokenizer = _tokenizer(
                Path(temporary), model=model, dictionaries=dictionaries, codes=codes, languages=spoken
            )
        config = ArtefactConfig(
            model.config,
            *spoken,
            decode=IWSLT if "iwslt" in str(args.get("arch")) else WMT,
            tokenizer=tokenizer,
            provenance={
                "hat": __version__,
                "checkpoint": {"name": path.name, "sha256": file_digest(path)},
                "architecture": source,
            },
        )
        weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
        Artefact(config, weights, Path(temporary)).save(folder)
    return Artefact.load(folder)


def read_architecture(path: Path, qkv_dim: int) -> Architecture:
    """An architecture file, in our schema or one of the published code's two.

    `qkv_dim`: where the file leaves it out. Raises UserError naming file and key.
    """
    value = read_content(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}:1: expected a mapping that describes an architecture")
    if ("qkv_dim" in value and "encoder" in value) or "architecture" in value:
        return Architecture.load(path)
    architecture = read_published_yaml(path, qkv_dim=qkv_dim).architecture
    if architecture is None:
        raise UserError(f"{path}:1: describes no SubTransformer (no keys that end in -subtransformer)")
    return architecture


def _architecture(
    checkpoint: ReferenceCheckpoint, network: SuperTransformer, path: Path, file: Path | None
) -> tuple[Architecture, str]:
    """The SubTransformer to import, and the source of its description."""
    largest = network.config.transformer
    if file is not None:
        return read_architecture(file, largest.qkv_dim), file.name
    try:
        trained = published_architecture(checkpoint.args, largest.qkv_dim)
    except UserError as error:
        raise UserError(f"{path}: settings: {error}") from error
    return (trained, "the checkpoint's settings") if trained else (largest, "the whole SuperTransformer")


def _tokenizer(
    folder: Path,
    *,
    model: Transformer,
    dictionaries: Sequence[Path],
    codes: Path | None,
    languages: tuple[str, str],
) -> TokenizerConfig | None:
    """Put the tokenizer's files into `folder` under an artefact's names."""
    if not dictionaries and codes is None:
        return None
    if codes is None or len(dictionaries) not in (1, 2):
        raise UserError("a tokenizer needs one or two dictionaries (--dict) and the merges (--bpe-codes)")
    sizes = (model.config.source_vocab, model.config.target_vocab)
    sides = (dictionaries[0], dictionaries[-1])
    for path, size, side in zip(sides, sizes, ("source", "target"), strict=True):
        if (pieces := len(read_dictionary(path))) != size:
            problem = f"{pieces} pieces with the four special ones; the checkpoint has {size}"
            raise UserError(f"{path}: {problem} for the {side} side")
    load_codes(codes)
    joint = len(dictionaries) == 1
    config = TokenizerConfig(MOSES_BPE, joint, _moses_options(sides, languages))
    for path, name in zip((*dictionaries, codes), config.file_names(), strict=True):
        shutil.copyfile(path, folder / name)
    return config


def _moses_options(dictionaries: Sequence[Path], languages: tuple[str, str]) -> MosesOptions:
    """The preparation of the training text, inferred from the pieces in the dictionaries."""
    pieces = {piece for path in dictionaries for piece in read_dictionary(path)[4:]}
    return MosesOptions(
        *languages,
        normalise=not any(mark in piece for mark in TYPOGRAPHIC for piece in pieces),
        dash=next((dash for dash in DASHES if dash in pieces), ""),
        lowercase=all(piece == piece.lower() for piece in pieces if piece not in DASHES),
    )
