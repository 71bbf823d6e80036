"""One browser for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox: CI is root, and what is opened was written here.
        running = playwright.chromium.launch(
            executable_path=chromium.executable(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()
