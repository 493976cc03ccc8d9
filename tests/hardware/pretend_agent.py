"""Stands for the agent where only the link to it matters: it starts in an instant and does as it is told."""

import json
import os
import sys
import time
from pathlib import Path

for line in sys.stdin:
    request = json.loads(line)
    answer = {"pid": os.getpid(), "folder": str(Path.cwd())}
    if request["op"] == "wait":
        Path("busy").touch()
        time.sleep(60)
    elif request["op"] == "die":
        sys.exit("MemoryError: it was too much")
    elif request["op"] == "list":
        answer = {"files": sorted(str(path) for path in Path(request["folder"]).rglob("*"))}
    elif request["op"] == "refuse":
        answer = {"error": "no engine is called 'abacus'", "exit_code": 2}
    print(json.dumps(answer), flush=True)
