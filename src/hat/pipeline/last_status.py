"""The status of a run as its last command left it: `hat status` and `hat predict` read it at once, without
the libraries that do the work.

`status.json` lists the run's steps with their folders. States and costs are read from these folders; the list
itself is valid as long as everything that decides it is unchanged: the recipe, the text, declared devices and
HAT itself. `RunStatus.current` says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hat.errors import UserError
from hat.files import check_keys, digest, file_digest, read_json, write_json
from hat.pipeline.steps.costs import StepCost, read_cost
from hat.pipeline.steps.folder import RECIPE_FILE, TEXT_DIGESTS
from hat.pipeline.steps.step import MANIFEST, read_outcome
from hat.pipeline.steps.training_log import skipped_updates

STATUS = "status.json"
KEYS = ("device", "steps", "constraints", "decided_by")
STEP_KEYS = ("stage", "step", "folder", "state", "changes")
# The files that may declare devices, unless a recipe names one (see `hat.hardware.device.declared`).
DEVICE_FILES = (Path("devices.yaml"), Path("~/.config/hat/devices.yaml"))
# HAT's files that decide which steps a run has and how their folders are named.
CODE = (
    *("pipeline/**/*.py", "recipe/*.py", "zoo/spaces/*.yaml"),
    *("data/settings.py", "training/settings.py", "search/evolution.py"),
)


@dataclass(frozen=True)
class StepStatus:
    """The status of one step. `state`: done, unfinished or to do. `changes`: the reasons to run it again, or
    what that depends on. `folder`: the folder of its results in the run folder; empty if not known yet.
    `skipped_updates`: of a training, those whose loss or gradient was not finite."""

    stage: str
    step: str
    state: str
    cost: StepCost = field(default_factory=StepCost)
    changes: tuple[str, ...] = ()
    folder: str = ""
    skipped_updates: int = 0


@dataclass(frozen=True)
class RunStatus:
    """`device`: the name of the run's device. `constraints`: one line for each that has been searched under.
    `current`: nothing that decides the steps has changed."""

    device: str
    steps: tuple[StepStatus, ...]
    constraints: tuple[str, ...]
    current: bool

    def folder_of(self, step: str) -> str | None:
        """The folder of the finished step's results in the run folder; None if it is not finished."""
        folders = (one.folder for one in self.steps if one.step == step and one.state == "done")
        return next(folders, None)


def save_status(
    root: Path, steps: Iterable[StepStatus], *, constraints: list[str], device: str, device_file: str | None
) -> None:
    """Save the status of the run. `device_file`: the recipe's file that declares devices."""
    rows = [{key: value for key, value in asdict(one).items() if key in STEP_KEYS} for one in steps]
    devices = _existing([Path(device_file)] if device_file else DEVICE_FILES)
    known = {"device": device, "steps": rows, "constraints": constraints}
    write_json(root / STATUS, {**known, "decided_by": _decided_by(root, devices)})


def forget_status(root: Path) -> None:
    """Remove the saved status; the steps have to be determined anew from now on."""
    (root / STATUS).unlink(missing_ok=True)


def saved_status(root: Path, *, verify: bool = False) -> RunStatus | None:
    """The status saved by a run's last command, with present states and costs; None if it was not saved, or
    in another format by another version of HAT. `verify` compares all results with their digests.

    Raises UserError if a result is damaged.
    """
    path = root / STATUS
    try:
        record = check_keys(read_json(path), KEYS, str(path))
        rows = [check_keys(row, STEP_KEYS, str(path)) for row in record["steps"]]
    except UserError:
        return None
    steps = tuple(_present_status(root, row, verify) for row in rows)
    # Once a step has finished, further steps may be known.
    same = all(
        (row["state"] == "done") == (one.state == "done") for row, one in zip(rows, steps, strict=True)
    )
    before = record["decided_by"]
    devices = _stamps(before.get("devices", {})) or _existing(DEVICE_FILES)
    current = same and before == _decided_by(root, devices)
    return RunStatus(record["device"], steps, tuple(record["constraints"]), current)


def _present_status(root: Path, row: Mapping[str, Any], verify: bool) -> StepStatus:
    stage, name, folder = row["stage"], row["step"], row["folder"]
    if not folder:
        return StepStatus(stage, name, "to do", changes=tuple(row["changes"]))
    place = root / folder
    done = (place / MANIFEST).exists()
    if done:
        read_outcome(place).check(content=verify)
    begun = place.is_dir() and any(place.iterdir())
    return StepStatus(
        stage,
        name,
        "done" if done else "unfinished" if begun else "to do",
        cost=read_cost(place),
        changes=() if done else tuple(row["changes"]),
        folder=folder,
        skipped_updates=skipped_updates(place),
    )


def _decided_by(root: Path, devices: Mapping[str, Any]) -> dict[str, Any]:
    package = Path(__file__).resolve().parents[1]
    code = sorted(path for pattern in CODE for path in package.glob(pattern))
    path = root / TEXT_DIGESTS
    texts = read_json(path) if path.exists() else {}
    return {
        "recipe": file_digest(root / RECIPE_FILE),
        "hat": digest({path.relative_to(package).as_posix(): file_digest(path) for path in code}),
        "texts": _stamps({name: [entry["bytes"], entry["changed"]] for name, entry in texts.items()}),
        "devices": dict(devices),
    }


def _stamps(known: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The present stamps of files; one that is missing counts as unchanged, as it does for steps."""
    return {name: _stamp(Path(name)) if Path(name).exists() else stamp for name, stamp in known.items()}


def _existing(files: Iterable[Path]) -> dict[str, list[int]]:
    """The stamps of those of the files that exist."""
    absolute = (path.expanduser().absolute() for path in files)
    return {str(path): _stamp(path) for path in absolute if path.exists()}


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]
