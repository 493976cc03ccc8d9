"""`python -m hat.cli`, the same as `hat`."""

from hat.cli import main

main()
