"""An artefact measured in a process of its own: nothing else in its memory, nothing left over."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hat.errors import HatError, UserError
from hat.hardware.protocol import MeasureProtocol


def ask(artefact: Path, protocol: MeasureProtocol) -> dict[str, Any]:
    """Let a fresh process measure an artefact. Raises what it raised, HatError where it died."""
    request = {"artefact": str(artefact.resolve()), "protocol": protocol.to_dict()}
    done = subprocess.run(
        [sys.executable, "-m", "hat.hardware.agent"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise HatError(f"the measuring process died: {last[0]}")
    found: dict[str, Any] = json.loads(done.stdout)
    if "error" in found:
        raise (UserError if found["exit_code"] == UserError.exit_code else HatError)(found["error"])
    return found


def peak_memory(
    artefact: Path, engine: str, threads: int, pairs: Sequence[tuple[int, int]], beam: int = 5
) -> int:
    """Bytes resident at most while a fresh process decodes (source, target) lengths `pairs`."""
    sources, targets = zip(*pairs, strict=True)
    protocol = MeasureProtocol(sources, targets, engine, threads, beam=beam, warmup=1, rounds=1)
    return int(ask(artefact, protocol)["peak_memory_bytes"])
