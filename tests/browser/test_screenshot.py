"""The picture in the README is of a page that looks as pages look now."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium, screenshot
from tests.browser.seeing import opened
from tests.browser.test_report import make_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.missing() is not None, reason=str(chromium.missing())),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page(tmp_path_factory.mktemp("failed"), "failed")


def test_a_page_begins_with_what_it_was_when_the_picture_was_taken(browser: Any, page: Path) -> None:
    with opened(browser, page, width=screenshot.WIDTH) as seen:
        now = screenshot.outline(seen.page)

    assert len(now) > 20
    assert now == json.loads(screenshot.OUTLINE.read_text(encoding="utf-8")), screenshot.RENEW


def test_a_page_of_another_shape_is_noticed(browser: Any, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    kept = json.loads(screenshot.OUTLINE.read_text(encoding="utf-8"))
    for number, (old, new) in enumerate(
        [("<h1", "<p>New.</p><h1"), ("<dt>", "<dt>Other "), ("</h1>", " twice</h1>")]
    ):
        other = tmp_path / f"{number}.html"
        other.write_text(text.replace(old, new, 1), encoding="utf-8")
        assert other.read_text(encoding="utf-8") != text
        with opened(browser, other, width=screenshot.WIDTH) as seen:
            assert screenshot.outline(seen.page) != kept


def test_the_picture_is_one_for_a_readme() -> None:
    content = screenshot.PICTURE.read_bytes()

    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (screenshot.WIDTH, screenshot.HEIGHT)
    assert len(content) < screenshot.MOST_BYTES
    assert "](website/report.png)" in (screenshot.ROOT / "README.md").read_text(encoding="utf-8")


def test_it_can_be_taken_and_paths_of_the_machine_are_refused(
    browser: Any, page: Path, tmp_path: Path
) -> None:
    screenshot.take(browser, page, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000

    page.write_text(
        page.read_text(encoding="utf-8").replace("</h1>", f" {screenshot.ROOT}</h1>"), encoding="utf-8"
    )
    with pytest.raises(AssertionError, match="paths of this machine"):
        screenshot.take(browser, page, tmp_path / "other.png")
