"""The content of a run folder, to compare runs by."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

# Times, load and process numbers; everything else must be the same.
RECORDED = re.compile(r"(^|/)(cost\.json|measurements\.sqlite.*|\.lock|tensorboard/.*)$")
REPORTED = ("folder", "costs", "environment")


def content(folder: Path) -> dict[str, str]:
    """Digest of every file; recorded times inside logs and reports are left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_lasting(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not RECORDED.search(str(path.relative_to(folder)))
    }


def _lasting(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name == "log.jsonl":
        rows = [_without(json.loads(line), "tokens_per_second") for line in data.splitlines()]
        return json.dumps(rows).encode()
    if path.name == "report.json":
        return json.dumps(_without(json.loads(data), *REPORTED)).encode()
    if path.name == "report.md":
        return data.split(b"## Costs")[0]  # the samples after them are in report.json too
    return data


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in names}
