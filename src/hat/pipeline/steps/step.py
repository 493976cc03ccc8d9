"""A stage is made of steps: pure functions of their inputs that resume where they were killed.

A step works in `RUN/steps/<name>/<key>/`, where the key is a digest of its inputs and of its algorithm's
version. It may keep partial state there; `manifest.json`, written last, marks the folder as finished for
good. A changed recipe gives another key, so older results stay, and changing it back reuses them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.disk import Room, flush_folder, flush_tree, make_folder
from hat.errors import HatError, UserError
from hat.files import check_keys, digest, file_digest, read_json, write_json
from hat.pipeline.steps.costs import metered, read_cost
from hat.pipeline.steps.folder import STEPS
from hat.pipeline.steps.results import FIRST, version_of
from hat.progress import Progress

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
MANIFEST_KEYS = ("format", "step", "version", "inputs", "outputs")
OLDER, NEWER = "made by an older version of this step", "made by a newer version of this step"


@dataclass(frozen=True)
class Step:
    """One piece of work.

    `inputs`: JSON-like, everything that decides the result (settings under their recipe names, digests of
    upstream results under `results`). `outputs`: the files and folders in the step's folder that are the
    result, with the same bytes however often the step was interrupted; other files there (logs, times) are no
    part of it. `run(folder, progress)` does the work, or continues it. `help(folder)`: the part of the other
    processes, where several do the work together (`hat.training.distributed`).
    """

    name: str
    inputs: Mapping[str, Any]
    outputs: tuple[str, ...]
    run: Callable[[Path, Progress], None]
    help: Callable[[Path], None] | None = None

    @property
    def version(self) -> int:
        """The version of its algorithm."""
        return version_of(self.name)

    @property
    def key(self) -> str:
        """Names the step's folder: twelve hexadecimal digits of the digest of its inputs and version."""
        return versioned_key(self.inputs, self.version)

    def folder(self, root: Path) -> Path:
        """The folder that the step works in, under the run folder `root`."""
        return root / STEPS / self.name / self.key


def versioned_key(inputs: Mapping[str, Any], version: int) -> str:
    """Twelve hexadecimal digits that name what an algorithm of this version makes of `inputs`."""
    # Without the first version, as before there were any: run folders of that time go on.
    return digest(inputs if version == FIRST else {"version": version, "inputs": inputs})[:12]


@dataclass(frozen=True)
class Outcome:
    """A finished step: its folder and what its manifest says of each output file."""

    step: str
    folder: Path
    files: Mapping[str, Mapping[str, Any]]

    def digest_of(self, *names: str) -> str:
        """Digest of the content of some output files or folders: what a later step depends on."""
        chosen = {
            file: entry["sha256"]
            for file, entry in self.files.items()
            if file in names or file.startswith(tuple(f"{name}/" for name in names))
        }
        if not chosen:
            raise HatError(f"{self.folder}: its manifest names none of {', '.join(names)}")
        return digest(chosen)

    def check(self, *, content: bool = False) -> None:
        """Compare the files' sizes (or, with `content`, their digests) with the manifest.

        Raises UserError naming the first file that is missing or damaged.
        """
        for name, entry in self.files.items():
            path = self.folder / name
            if not path.is_file():
                problem = "missing"
            elif (size := path.stat().st_size) != entry["bytes"]:
                problem = f"{size} bytes, but the manifest says {entry['bytes']}: damaged"
            elif content and file_digest(path) != entry["sha256"]:
                problem = "not the content the manifest names: damaged"
            else:
                continue
            raise UserError(f"{path}: {problem}; delete {self.folder} to make it again")


def find(root: Path, step: Step) -> Outcome | None:
    """The step's outcome if it is finished, else None. Raises UserError if its files are damaged."""
    folder = step.folder(root)
    if not (folder / MANIFEST).exists():
        return None
    outcome = read_outcome(folder)
    outcome.check()
    return outcome


def execute(root: Path, step: Step, progress: Progress) -> Outcome:
    """Run the step, or go on with it, and finish it with a manifest. A finished step is not run again."""
    if finished := find(root, step):
        return finished
    folder = step.folder(root)
    with Room(folder):
        make_folder(folder)
        with metered(folder, progress) as watched:
            step.run(folder, watched)
        for output in filter(Path.exists, (folder / name for name in step.outputs)):
            flush_tree(output)
        flush_folder(folder)
    manifest = {
        "format": MANIFEST_FORMAT,
        "step": step.name,
        "version": step.version,
        "inputs": step.inputs,
        "outputs": _describe(folder, step),
    }
    write_json(folder / MANIFEST, manifest)
    return read_outcome(folder)


def started(root: Path, step: Step) -> bool:
    """True if the step has left something behind but no manifest yet."""
    folder = step.folder(root)
    return folder.is_dir() and not (folder / MANIFEST).exists() and any(folder.iterdir())


def changes(root: Path, step: Step) -> list[str]:
    """The differences of the step's version and inputs from its most recently finished run, one line each.

    Empty if it was never finished, or is finished now.
    """
    latest = _latest(root / STEPS / step.name)
    if latest is None or (step.folder(root) / MANIFEST).exists():
        return []
    manifest = _manifest(latest)
    before = dict(_flatten(manifest["inputs"]))
    after = dict(_flatten(json.loads(json.dumps(step.inputs))))
    older, newer = manifest["version"] < step.version, manifest["version"] > step.version
    return (
        [OLDER] * older
        + [NEWER] * newer
        + [
            _change(name, before.get(name), after.get(name))
            for name in sorted(before | after)
            if before.get(name) != after.get(name)
        ]
    )


def finished_steps(root: Path, stage: str) -> dict[str, int]:
    """The steps of a stage that have ever been finished → the version of their latest result."""
    steps = root / STEPS
    homes = [steps / stage, *(path for path in (steps / stage).glob("*") if path.is_dir())]
    latest = {home.relative_to(steps).as_posix(): _latest(home) for home in homes}
    return {
        name: _manifest(folder)["version"]
        for name, folder in latest.items()
        if folder and "step" in read_json(folder / MANIFEST)  # a step's outputs may hold a manifest.json too
    }


def _latest(home: Path) -> Path | None:
    """The most recently finished folder of the step that works in `home`."""
    folders = [path.parent for path in home.glob(f"*/{MANIFEST}")]
    return max(folders, key=lambda folder: (read_cost(folder).finished, folder.name), default=None)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    # Manifests of the first steps have no version.
    manifest = check_keys(read_json(path), MANIFEST_KEYS, str(path), optional=("version",))
    if manifest["format"] != MANIFEST_FORMAT:
        raise UserError(f"{path}: format {manifest['format']}, but this version reads {MANIFEST_FORMAT}")
    return {"version": FIRST, **manifest}


def read_outcome(folder: Path) -> Outcome:
    """The finished step in `folder`. Raises UserError if its manifest is damaged or has another format."""
    manifest = _manifest(folder)
    return Outcome(manifest["step"], folder, manifest["outputs"])


def _describe(folder: Path, step: Step) -> dict[str, dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    for output in step.outputs:
        path = folder / output
        if not path.exists():
            raise HatError(f"{step.name}: finished without writing {path}")
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(folder).as_posix()
            described[name] = {"bytes": file.stat().st_size, "sha256": file_digest(file)}
    return described


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _change(name: str, before: object, after: object) -> str:
    section, _, rest = name.partition(".")
    if section == "results":
        if before and after:
            return f"the {rest} changed"
        return f"{'now' if after else 'no longer'} needs the {rest}"
    if section == "text" and before and after:
        return f"the text of {rest} changed"
    return f"{name} {_short(before)} -> {_short(after)}"


def _short(value: object) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
