"""`python -m hat.hardware.agent`: answers requests on standard input until there are no more."""

import os
import sys

from hat.hardware.agent.requests import serve

# Output that a library prints must not come between the answers.
output = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
serve(sys.stdin, output)
