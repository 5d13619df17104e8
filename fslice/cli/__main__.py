"""Run the command line: ``python -m fslice.cli``."""

from fslice.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
