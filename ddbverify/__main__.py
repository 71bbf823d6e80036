"""``ddbverify`` and ``python -m ddbverify``: load the commands, and run the one that is asked for."""

import io
import sys

from ddbverify.code.shadows import python_first


def main() -> None:
    """What the installed ``ddbverify`` calls."""
    python_first()  # `python -m` has put the folder that it is called in before everything
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without all letters is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        from ddbverify.cli import main as commands
    except KeyboardInterrupt:  # loading takes a second, long enough to think better of it
        sys.stderr.write("Interrupted: nothing was read.\n")
        sys.exit(3)
    commands(prog_name="ddbverify")


if __name__ == "__main__":
    main()
