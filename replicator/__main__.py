"""``replicator`` and ``python -m replicator``: load the commands, and run the one that is asked for."""

import sys

from ddbverify.code.shadows import python_first


def main() -> None:
    """What the installed ``replicator`` calls."""
    python_first()  # `python -m` has put the folder that it is called in before everything
    try:
        from replicator.cli import main as commands
    except KeyboardInterrupt:  # loading takes a second, long enough to think better of it
        sys.stderr.write("Interrupted: nothing was done.\n")
        sys.exit(1)
    commands(prog_name="replicator")


if __name__ == "__main__":
    main()
