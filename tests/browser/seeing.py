"""A page as somebody sees it: opened, with all that it asked for or complained about, and photographed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.browser import chromium

WIDTHS = {"phone": 390, "tablet": 820, "desk": 1280}


@contextmanager
def launched() -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox: CI is root, and what is opened was written here.
        running = playwright.chromium.launch(
            executable_path=chromium.executable(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()


@contextmanager
def opened(browser: Any, place: Path | str, *, width: int = 1280, **how: Any) -> Iterator[Any]:
    """The page of a file or an address, and all that it asked for or complained about."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **how)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(place.as_uri() if isinstance(place, Path) else place)
    yield SimpleNamespace(page=page, said=said, asked=asked)
    context.close()


def picture(page: Any, name: str, *, whole: bool = True) -> None:
    chromium.SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=chromium.SCREENSHOTS / f"{name}.png", full_page=whole)


def violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']][:3]}" for one in found]
