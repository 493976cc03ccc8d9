"""Miniature corpora in the real layouts of the published tasks, made from what their recipes name."""

import gzip
import html
import io
import random
import tarfile
import zipfile
from collections.abc import Iterator

from hat.recipe.data import Acquire, Extract
from tests.pipeline.tiny import TINY

WORDS = "the dog cat house runs sleeps sees old big well-known small it's a & of on quickly".split()  # noqa: SIM905
PAIRS = {"train": 300, "valid": 12, "test": 6}

# What makes a published recipe small enough to run in seconds.
SMALL = [f"{name}={TINY[name]}" for name in ("space", "measure", "search", "super_training", "sub_training")]
SMALL += [f"baseline_training={TINY['baseline_training']}", "baselines=[]", "device.beam=1"]
SMALL += ["super_training.updates=6", "search.iterations=1", "data.vocabulary.size=80"]


def archives(acquire: Acquire, seed: int = 0) -> dict[str, bytes]:
    """File name → content of every archive."""
    members: dict[str, dict[str, bytes]] = {archive.file_name: {} for archive in acquire.archives}
    rng = random.Random(seed)
    for kind, count in PAIRS.items():
        for text in getattr(acquire, kind):
            members[text.archive] |= _members(text, [_pair(rng) for _ in range(count)])
    return {name: _pack(name, content) for name, content in members.items()}


def _pair(rng: random.Random) -> tuple[str, str]:
    words = rng.choices(WORDS, k=rng.randint(4, 8))
    return " ".join(words).capitalize() + ".", " ".join(reversed(words)).capitalize() + "."


def _members(text: Extract, pairs: list[tuple[str, str]]) -> dict[str, bytes]:
    if text.tsv is not None:
        rows = []
        for pair in pairs:
            columns = ["0.9"] * max(text.columns)
            for column, sentence in zip(text.columns, pair, strict=True):
                columns[column - 1] = sentence
            rows.append("\t".join(columns))
        return {text.tsv: "".join(f"{row}\n" for row in rows).encode()}
    assert text.source is not None
    assert text.target is not None
    sides = zip((text.source, text.target), zip(*pairs, strict=True), strict=True)
    return {name: "".join(_marked(text.markup, lines)).encode() for name, lines in sides}


def _marked(markup: str, lines: tuple[str, ...]) -> Iterator[str]:
    if markup == "tags":
        yield "<url>http://www.ted.com/talks/x.html</url>\n<keywords>talks</keywords>\n"
        yield "<talkid>1</talkid>\n"
        yield f"<title>{html.escape(lines[0], quote=False)}</title>\n"
        lines = lines[1:]
    if markup == "segments":
        yield '<?xml version="1.0" encoding="UTF-8"?>\n<mteval><srcset setid="x"><doc docid="1">\n'
    for number, line in enumerate(lines, 1):
        escaped = html.escape(line, quote=False)
        yield {"segments": f'<seg id="{number}"> {escaped} </seg>\n', "tags": f" {escaped}\n"}.get(
            markup, f"{line}\n"
        )


def _pack(name: str, members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(out, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return out.getvalue()
    if not name.endswith((".tgz", ".tar")):
        [content] = members.values()
        return gzip.compress(content)
    with tarfile.open(fileobj=out, mode="w:gz" if name.endswith(".tgz") else "w:") as tar:
        for member, content in members.items():
            packed = gzip.compress(content) if member.endswith(".gz") else content
            entry = tarfile.TarInfo(member)
            entry.size = len(packed)
            tar.addfile(entry, io.BytesIO(packed))
    return out.getvalue()
