"""`python -m hat`, the same as `hat`, for launchers such as torchrun that start Python modules."""

from hat.cli import main

if __name__ == "__main__":
    main()
