"""The real data that lies beside a checkout in CI; tests that want it skip elsewhere, never in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"
FILMS = DATA / "movies.json.gz"
EXPORT = DATA / "s3-export" / "AWSDynamoDB"


def films() -> Path:
    """The films of the DynamoDB developer guide, 4,609 items."""
    if not FILMS.is_file() and not os.environ.get("CI"):
        pytest.skip("needs ../shared/data/movies.json.gz beside the checkout")
    return FILMS


def export() -> Path:
    """The folder AWSDynamoDB of a real export by AWS: three items, one with every type."""
    if not EXPORT.is_dir() and not os.environ.get("CI"):
        pytest.skip("needs ../shared/data/s3-export beside the checkout")
    return EXPORT
