"""Run the command line: ``python -m fslice``, or ``fslice``."""

import sys


def main() -> int:
    """Run a command, and return the exit status; Ctrl-C ends it also while modules are loaded."""
    try:
        from fslice.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
