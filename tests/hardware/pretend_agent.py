"""Stands for the agent where only the link to it matters: it starts in an instant and does as it is told."""

import json
import os
import signal
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
    elif request["op"] == "stop":
        print("about to stop \x1b[31m", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif request["op"] == "complain":
        for _ in range(200):
            sys.stderr.write("x" * 50_000 + "\n")
    elif request["op"] == "endless":
        while True:
            print("x" * 10_000, end="")
    elif request["op"] == "say":
        print(request["text"], flush=True)
        continue
    elif request["op"] == "list":
        answer = {"files": sorted(str(path) for path in Path(request["folder"]).rglob("*"))}
    elif request["op"] == "refuse":
        answer = {"error": "no engine is called 'abacus'", "exit_code": 2}
    print(json.dumps(answer), flush=True)
