"""The live page in a real browser: quiet, whole, of this machine alone, and going on by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ddbverify.evidence.events import EventLog
from ddbverify.live import web
from ddbverify.live.address import Address
from ddbverify.live.watching import Watching
from tests.browser import chromium
from tests.browser.seeing import WIDTHS, opened, picture, violations
from tests.ddbverify.live.logs import migration_log, run_log
from tests.ddbverify.pages import HOSTILE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.missing() is not None, reason=str(chromium.missing())),
]

TOKEN = "t" * 43
MAKE: dict[str, Callable[[Path], EventLog]] = {"run": run_log, "migration": migration_log}


@contextmanager
def served(log: Path, port: int = 0) -> Iterator[str]:
    page = web.Page(Address(port=port, token=TOKEN))
    with Watching(log, None, page, seconds=0.1):
        yield page.address.url


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def is_live(page: Any) -> None:
    page.locator("#link", has_text="Live: it goes on by itself.").wait_for()


@pytest.mark.parametrize(("width", "light"), [*((width, "light") for width in WIDTHS), ("desk", "dark")])
@pytest.mark.parametrize("name", MAKE)
def test_it_is_quiet_asks_loopback_alone_fits_and_can_be_used_by_all(browser, log, name, width, light):
    MAKE[name](log)
    with served(log) as url, opened(browser, url, width=WIDTHS[width], color_scheme=light) as seen:
        is_live(seen.page)
        picture(seen.page, f"live-{name}-{width}-{light}")

        assert seen.said == []
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(seen.page) == []
        assert set(seen.asked) == {url, f"{url}events"}


def boxes(page: Any, selector: str) -> list[tuple[float, float]]:
    return [
        (box["width"], box["height"])
        for one in page.query_selector_all(selector)
        if (box := one.bounding_box())
    ]


@pytest.mark.parametrize(
    ("name", "columns", "piled", "stacks", "bars"), [("run", 2, 1, 2, 1), ("migration", 4, 0, 0, 4)]
)
def test_each_plot_has_data(browser, log, name, columns, piled, stacks, bars):
    MAKE[name](log)
    with served(log) as url, opened(browser, url) as seen:
        is_live(seen.page)
        assert seen.page.locator("svg.columns").count() == columns + piled
        for number in range(columns):
            marks = seen.page.locator("svg.columns").nth(number).locator("rect:not(.track)")
            assert marks.count() > 20
        for number in range(columns, columns + piled):  # stretches that are alike make one block
            assert seen.page.locator("svg.columns").nth(number).locator("rect:not(.track)").count() > 0
        assert len(boxes(seen.page, "svg.stack rect")) == stacks
        drawn = boxes(seen.page, "svg.bar rect:not(.track)")
        assert len(drawn) == bars
        assert all(width > 0 and height > 0 for width, height in drawn)


def test_it_goes_on_by_itself_and_keeps_the_focus(browser, log):
    run_log(log)
    with served(log) as url, opened(browser, url) as seen:
        is_live(seen.page)
        seen.page.locator("#checks-table").focus()
        EventLog(log).verdict("failed", complete=True)
        seen.page.locator("h1", has_text="Failed").wait_for()

        assert seen.page.evaluate("document.activeElement.id") == "checks-table"
        assert seen.page.title().startswith("✗ Failed")
        assert seen.page.locator("main").count() == 1
        assert seen.said == []


def test_it_outlives_its_command_and_a_new_run_takes_the_place_of_the_old_one(browser, log, tmp_path):
    run_log(log)
    first = served(log)
    url = first.__enter__()
    port = int(url.split(":")[2].partition("/")[0])
    with opened(browser, url) as seen:
        page = seen.page
        is_live(page)
        page.evaluate("window.isTheSamePage = true")
        first.__exit__(None, None, None)
        page.locator("#link", has_text="Not connected").wait_for()
        assert "30,000 items of the source" in page.inner_text("main")  # what was told last stands

        other = tmp_path / "another.jsonl"
        run_log(other, name="another", seconds=5)
        with served(other, port):
            is_live(page)
            page.locator(".what", has_text="Verification another").wait_for()
            assert page.evaluate("window.isTheSamePage")
            assert violations(page) == []
        assert all("ERR_" in one for one in seen.said)  # that there was nobody
        assert set(seen.asked) <= {url, f"{url}events"}


def test_names_of_others_stay_text(browser, log):
    run_log(log)
    with served(log) as url, opened(browser, url) as seen:
        is_live(seen.page)
        text = seen.page.inner_text("main")
        assert HOSTILE in text
        assert "price\\x202e" in text
        assert seen.page.evaluate("document.scripts.length") == 1
        assert seen.said == []


def test_a_keyboard_reaches_everything(browser, log):
    run_log(log)
    with served(log) as url, opened(browser, url, width=WIDTHS["phone"]) as seen:
        page = seen.page
        is_live(page)
        wanted = page.eval_on_selector_all(
            "a[href], select, input, [tabindex='0']",
            "all => all.filter(one => one.checkVisibility()).map(one => one.id || one.textContent)",
        )
        met = []
        for _ in wanted:
            page.keyboard.press("Tab")
            met.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert len(wanted) == 2
        assert met == wanted


def test_without_scripts_it_shows_how_it_was_and_says_so(browser, log):
    migration_log(log)
    with served(log) as url, opened(browser, url, java_script_enabled=False) as seen:
        assert "50 waiting" in seen.page.inner_text("main")
        assert "needs its script" in seen.page.inner_text("#link")
        assert seen.asked == [url]


def test_what_is_asked_of_the_page_is_noticed_if_it_is_not_so(browser, log, monkeypatch):
    """The tests above see a page that asks another host, or runs what it was given."""
    run_log(log)
    whole = web.live.fragment

    def broken(view: Any) -> str:
        return whole(view) + "<img src='https://example.invalid/x.png' onerror='alert(1)'>"

    monkeypatch.setattr(web.live, "fragment", broken)
    with served(log) as url, opened(browser, url) as seen:
        is_live(seen.page)
        EventLog(log).verdict("failed", complete=True)
        seen.page.locator("h1", has_text="Failed").wait_for()
        assert any("Content Security Policy" in one for one in seen.said)
        assert any(re.match("image-alt", one) for one in violations(seen.page))
