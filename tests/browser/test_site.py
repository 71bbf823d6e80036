"""The documentation as a site: the build is strict, and its pages are whole in a real browser."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.seeing import WIDTHS, picture, violations

ROOT = Path(__file__).parents[2]
MISSING = chromium.missing() or (
    "the site is built by Sphinx, which is not installed; run `make test-browser`"
    if importlib.util.find_spec("sphinx") is None
    else None
)

pytestmark = [pytest.mark.browser, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

LOOKED_AT = {
    "index": "index.html",
    "page": "docs/commands.html",
    "policies": "docs/permissions.html",
    "code": "files/ddbverify/compare/settle.py.html",
    "search": "search.html?q=canary",
}
# Of the theme, and of tables whose first column needs no name. None keeps anybody from reading.
ACCEPTED = {"empty-table-header", "landmark-unique", "page-has-heading-one"}


def build(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "website", str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: the test reads what the browser says."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site as it is published: from a server, in a folder of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A page, and what it complained about, was refused, or asked of other hosts."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda one: wrong.append(f"{one.status} {one.url}") if one.status >= 400 else None)
    page.on("request", lambda one: None if one.url.startswith((address, "data:")) else wrong.append(one.url))
    yield SimpleNamespace(page=page, wrong=wrong)
    context.close()


def test_no_page_complains_or_asks_another_host(site: Path, address: str, tab: Any) -> None:
    pages = sorted(file.relative_to(site).as_posix() for file in site.rglob("*.html"))
    assert len(pages) > 60
    for name in pages:
        tab.page.goto(address + name)

    assert tab.wrong == []


def test_a_page_that_would_ask_another_host_is_seen(site: Path, address: str, tab: Any) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    planted = "<img src='http://127.0.0.1:9/x.png'></body>"
    (site / "planted.html").write_text(text.replace("</body>", planted), encoding="utf-8")
    try:
        tab.page.goto(f"{address}planted.html")
    finally:
        (site / "planted.html").unlink()

    assert "http://127.0.0.1:9/x.png" in tab.wrong


@pytest.mark.parametrize(("width", "light"), [*((width, "light") for width in WIDTHS), ("desk", "dark")])
@pytest.mark.parametrize("name", LOOKED_AT)
def test_it_fits_and_can_be_used_by_all(address: str, tab: Any, name: str, width: str, light: str) -> None:
    page = tab.page
    page.emulate_media(color_scheme=light)
    page.set_viewport_size({"width": WIDTHS[width], "height": 900})
    page.goto(address + LOOKED_AT[name])
    if name == "search":
        page.wait_for_selector("#search-results li")
    picture(page, f"site-{name}-{width}-{light}", whole=False)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if (width, light) in {("phone", "light"), ("desk", "dark")}:  # seconds each, and the same at other widths
        assert [one for one in violations(page) if one.partition(":")[0] not in ACCEPTED] == []
    assert tab.wrong == []


def test_every_page_of_the_navigation_can_be_clicked(address: str, tab: Any) -> None:
    tab.page.goto(address)
    goals = tab.page.eval_on_selector_all(".sidebar-tree a.reference", "all => all.map(one => one.href)")

    assert len(goals) > 20
    tab.page.get_by_role("link", name="Is it for me?").first.click()
    assert tab.page.locator("h1").inner_text().startswith("Is it for me?")
    assert tab.page.url in goals


def test_no_page_holds_a_path_of_the_machine(site: Path) -> None:
    assert [file for file in site.rglob("*.html") if str(ROOT) in file.read_text(encoding="utf-8")] == []


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The build of a copy with one fault of each kind."""
    root = tmp_path_factory.mktemp("planted")
    for name in ("docs", "website", "examples", "findings"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    with (root / "docs" / "report.md").open("a", encoding="utf-8") as file:
        file.write(
            "\n[a](no-such-page.md) [b](commands.md#no-such-command) [c](../README.md#no-such-part) "
            "[d](#no-such-part-here) [e](../examples/no_such.py) ![f](https://pictures.example/x.png)\n"
        )
    (root / "docs" / "forgotten.md").write_text("# Forgotten\n", encoding="utf-8")
    return build(root, root / "site")


@pytest.mark.parametrize(
    "fault",
    [
        "no-such-page.md",
        "no-such-command",
        "'no-such-part'",
        "no-such-part-here",
        "../examples/no_such.py",
        "pictures.example/x.png: another host",
        "forgotten.md: WARNING: document isn't included in any toctree",
    ],
)
def test_the_build_refuses(planted: subprocess.CompletedProcess[str], fault: str) -> None:
    assert planted.returncode == 1
    assert fault in planted.stderr
