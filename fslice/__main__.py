"""Run the command line: ``python -m fslice``."""

from fslice.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
