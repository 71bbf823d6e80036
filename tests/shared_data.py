"""The real data that lies beside a checkout in CI; tests that want it skip elsewhere, never in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FILMS = Path(__file__).parents[2] / "shared" / "data" / "movies.json.gz"


def films() -> Path:
    """The films of the DynamoDB developer guide, 4,609 items."""
    if not FILMS.is_file() and not os.environ.get("CI"):
        pytest.skip("needs ../shared/data/movies.json.gz beside the checkout")
    return FILMS
