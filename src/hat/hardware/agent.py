"""The half of measuring that runs on the device: one JSON request in, one JSON answer out.

`python -m hat.hardware.agent` reads {"artefact": folder, "protocol": {…}} from standard input and
writes {"latency_ms": [per round], "peak_memory_bytes": n} or {"error": message, "exit_code": n}.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hat.errors import HatError
from hat.files import check_keys
from hat.hardware.decoding import Decoding, wall_clock
from hat.hardware.environment import peak_resident_bytes
from hat.hardware.protocol import MeasureProtocol
from hat.runtime import Artefact


def answer(request: object) -> dict[str, Any]:
    """Time an artefact and tell the memory of this process, engine and libraries included."""
    try:
        keys = check_keys(request, ("artefact", "protocol"), "request")
        protocol = MeasureProtocol.from_dict(keys["protocol"])
        artefact = Artefact.load(Path(keys["artefact"]))
        decoding = Decoding(artefact.config.model, protocol, artefact)
        architecture = artefact.config.model.architecture
        for _ in range(protocol.warmup):
            decoding()
        taken = [wall_clock(decoding, architecture) for _ in range(protocol.rounds)]
        decoding.close()
    except HatError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    return {
        "latency_ms": [time / protocol.sentences for time in taken],
        "peak_memory_bytes": peak_resident_bytes(),
    }


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
