"""`hat import-checkpoint` and `hat import-config`: from the published code's files to ours."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hat.cli.extra import optional_packages
from hat.cli.options import ModelFolder, examples, file_option
from hat.errors import UserError, command, shown, visible

if TYPE_CHECKING:
    from hat.interop import PublishedFile


CHECKPOINT_EXAMPLES = examples(
    "hat import-checkpoint HAT_wmt14ende_sub.pt --dict dict.en.txt --bpe-codes code --out model",
    "hat import-checkpoint HAT_iwslt14deen_super_space1.pt --arch best.yml --dict dict.de.txt "
    "--dict dict.en.txt --bpe-codes code --out model",
)
CONFIG_EXAMPLES = examples(
    "hat import-config configs/wmt14.en-de/supertransformer/space0.yml --out space0.yaml",
    "hat import-config HAT_wmt14ende_xeon@137.9ms_bleu@25.8.yml --out arch.yaml",
)


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE.pt", help="A checkpoint of the published code.")],
    out: ModelFolder,
    dictionaries: Annotated[
        list[Path] | None, file_option("Dictionary of both sides; or twice: source, target.", "--dict")
    ] = None,
    codes: Annotated[
        Path | None, file_option("The merges that subword-nmt has learnt.", "--bpe-codes")
    ] = None,
    architecture: Annotated[
        Path | None, file_option("The SubTransformer, in the published YAML or in ours.", "--arch")
    ] = None,
    source_lang: Annotated[str | None, typer.Option(help="Source language, if the file lacks it.")] = None,
    target_lang: Annotated[str | None, typer.Option(help="Target language, if the file lacks it.")] = None,
) -> None:
    """Convert a published SuperTransformer or SubTransformer checkpoint to a model that `hat translate` runs.

    Nothing in the checkpoint is executed.
    """
    from hat.pipeline import check_no_result

    check_no_result(out)
    with optional_packages("import-checkpoint"):
        from hat.interop import import_checkpoint as convert
    artefact = convert(
        file,
        out,
        architecture_file=architecture,
        dictionaries=dictionaries or [],
        codes=codes,
        languages=(source_lang, target_lang),
    )
    config = artefact.config
    typer.echo(visible(f"{out}: architecture: {config.provenance['architecture']}"))
    if config.tokenizer is None:
        typer.echo("without --dict and --bpe-codes it has no tokenizer: it can be timed, but not translate")
    else:
        typer.echo(visible(f"try it: {command('hat', 'translate', out)}"))


def import_config(
    file: Annotated[Path, typer.Argument(metavar="FILE.yml", help="A YAML file of the published code.")],
    out: Annotated[
        Path | None, file_option("Where to write; by default it is printed.", metavar="FILE.yaml")
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs of its training; by default as in the file, or else as published."),
    ] = None,
    qkv_dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width of queries, keys, values if the file has none; by default the embeddings' or 512.",
        ),
    ] = None,
) -> None:
    """Read an architecture, design space, latency data set, search or training of the published code.

    A SubTransformer becomes an architecture file; everything else becomes sections of a recipe.
    """
    import yaml

    from hat.files import write_sealed_yaml

    with optional_packages("import-config"):
        from hat.interop import read_published_yaml
    published = read_published_yaml(file, gpus, qkv_dim)
    _check_sections(file, published.sections)
    content = dict(published.sections)
    if published.architecture is not None:
        architecture = published.architecture.to_dict()
        content = {"architecture": architecture, **content} if content else architecture
    text = _header(file, published) + yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    if out is None:
        typer.echo(text, nl=False)
    elif os.path.realpath(out) == os.path.realpath(file):
        raise UserError(f"--out {out}: the file itself would be lost; choose another place")
    else:
        write_sealed_yaml(out, text)


def _header(file: Path, published: "PublishedFile") -> str:
    lines = [f"# {visible(file.name)}, by `hat import-config`"]
    if "predictor" in published.sections:
        lines.append("# predictor is not a section of a recipe: it holds the settings of its own training")
    for title, settings in (
        ("Left out, though the original needs it", published.absent),
        ("Without an equivalent here", published.left),
    ):
        lines += [f"# {title}:"] if settings else []
        for key, value in settings.items():
            lines.append(visible(f"#   {key.replace('_', '-')}: {' '.join(str(value).split())}"))
    return "\n".join(lines) + "\n"


def _check_sections(file: Path, sections: dict[str, Any]) -> None:
    """Raises UserError where a recipe could not hold these sections."""
    from pydantic import TypeAdapter, ValidationError

    from hat.interop.published_yaml import line_of_field
    from hat.recipe import Recipe
    from hat.space import DesignSpace

    if "space" in sections:
        try:
            DesignSpace.from_dict(sections["space"], "space")
        except UserError as error:
            key = str(error).partition(":")[0].removeprefix("space.")
            raise UserError(f"{file}:{line_of_field(file, 'space', key)}: {error}") from error
    for name in sections.keys() & {"super_training", "sub_training", "measure", "search", "evaluate"}:
        try:
            TypeAdapter(Recipe.__annotations__[name]).validate_python(sections[name])
        except ValidationError as error:
            mistake = error.errors()[0]
            line = line_of_field(file, name, str(next(iter(mistake["loc"]), "")))
            key = ".".join(map(str, (name, *mistake["loc"])))
            raise UserError(
                f"{file}:{line}: {key}: {mistake['msg']}, not {shown(mistake['input'])}"
            ) from error
