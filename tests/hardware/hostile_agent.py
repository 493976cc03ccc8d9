"""Stands for an agent that does not keep to the protocol: `python hostile_agent.py MODE`."""

import json
import os
import signal
import subprocess
import sys
import time

mode = sys.argv[1]
if mode == "deaf":
    time.sleep(60)
for line in sys.stdin:
    answer = json.dumps({"size": len(line)})
    match mode:
        case "stop":
            print("about to stop \x1b[31m", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        case "silent":
            time.sleep(60)
        case "leaves a child":
            with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
                print(child.pid, file=sys.stderr, flush=True)
                time.sleep(60)
        case "complains":
            for number in range(200):
                sys.stderr.write(f"complaint {number} " + "x" * 50_000 + "\n")
            sys.stderr.write("the last complaint\n")
            sys.stderr.flush()
            print(answer, flush=True)
        case "byte by byte":
            for byte in answer + "\n":
                print(byte, end="", flush=True)
                time.sleep(0.001)
        case "dies":
            print(answer[:5], end="", flush=True)
            sys.exit("\x1b[2Jit was too much")
        case "endless line":
            while True:
                print("x" * 10_000, end="", flush=True)
        case "endless lines":
            while True:
                print(answer, flush=True)
        case text:  # an answer
            print(text, flush=True)
