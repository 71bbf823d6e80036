"""
Modules beside ``migration.toml`` that have the name of another: they are found by whoever asks for that one.

Much of Python, and boto3, is imported late, when the user's folder is on the path already. Standard library
only, and little of it: `ddbverify.__main__` asks before anything else is imported.
"""

from __future__ import annotations

import os
import sys

from ddbverify.errors import ConfigurationError

LIBRARIES = (
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "msgspec", "click", "tabulate"),
    *(
        "cryptography",
        "cffi",
        "pluggy",
        "jinja2",
        "markupsafe",
        "prometheus_client",
        "opentelemetry",
        "deepdiff",
        "packaging",
        "rich",
    ),
    "aws_lambda_powertools",
)
"""What we import, and what that imports. Each is a folder: a file of the name is never the library."""


def put_on_path(folder: str) -> None:
    """
    Let modules in *folder* be found, before all others but Python's own.

    Raises:
        ConfigurationError: One has the name of a library that we need.
    """
    for name in LIBRARIES:
        if os.path.isfile(os.path.join(folder, f"{name}.py")):  # noqa: PTH113, PTH118  # see the module
            raise ConfigurationError(
                f"{name}.py in {folder} has the name of a library that ddbverify needs, and would be taken "
                "for it.",
                f"rename {name}.py, and what imports it.",
            )
    if folder not in sys.path:
        sys.path.insert(0, folder)
    python_first()


def python_first() -> None:
    """Let Python's own modules be found before the user's, whatever these are called."""
    own = os.path.dirname(os.__file__)  # noqa: PTH120  # see the module
    places = {own, os.path.join(own, "lib-dynload")}  # noqa: PTH118  # see the module
    sys.path.sort(key=lambda path: path not in places)  # stable: the others stay as they are
