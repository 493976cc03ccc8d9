"""`python -m hat.hardware.agent`: answers the requests on standard input."""

import os
import sys

from hat.hardware.agent.requests import serve

# Standard output is for answers alone: text that a library prints there goes to standard error.
output = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
serve(sys.stdin, output)
