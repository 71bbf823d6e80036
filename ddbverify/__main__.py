"""``python -m ddbverify``."""

from ddbverify.cli import main

if __name__ == "__main__":
    main(prog_name="ddbverify")
