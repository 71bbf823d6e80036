"""``report.html`` in a real browser: three widths, two lights, no script, no style, on paper, by keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ddbverify.config import load
from ddbverify.evidence import folders, plans, repairs
from ddbverify.page import making, watched
from tests.browser import chromium
from tests.browser.seeing import WIDTHS, opened, picture, violations
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence, leave
from tests.ddbverify.live.logs import AT, following, migration_log
from tests.ddbverify.pages import HOSTILE, LONG, finding, rich, write_findings

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.missing() is not None, reason=str(chromium.missing())),
]


def make_page(folder: Path, name: str) -> Path:
    """A page of the kind that is named."""
    config = load(projects.make_project(folder))
    run = leave(config, good_evidence(config)) if name == "passed" else rich(config)
    if name == "failed":
        log = migration_log(folders.home(config) / watched.LOG, name=config.name)
        log.write(following(AT + 3600, stream_behind_seconds=6 * 3600.0, oldest_message_seconds=7 * 86_400.0))
    if name == "many":
        write_findings(
            run, (finding(number, paths=("price: N -> S", "size: value")) for number in range(30_000))
        )
    page = folder / "page.html"
    page.write_bytes(making.make(run, config, keys=name == "keys").content)
    return page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    return {
        name: make_page(tmp_path_factory.mktemp(name), name) for name in ("failed", "keys", "passed", "many")
    }


@pytest.mark.parametrize("light", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["failed", "passed", "keys"])
def test_it_is_quiet_asks_for_nothing_fits_and_can_be_used_by_all(browser, pages, name, width, light):
    with opened(browser, pages[name], width=WIDTHS[width], color_scheme=light) as seen:
        picture(seen.page, f"{name}-{width}-{light}")

        assert seen.said == []
        assert seen.asked == [pages[name].as_uri()]
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(seen.page) == []
        assert seen.asked == [pages[name].as_uri()]


def sizes(page: Any, selector: str) -> list[tuple[float, float]]:
    return [
        (box["width"], box["height"])
        for one in page.query_selector_all(selector)
        if (box := one.bounding_box())
    ]


def plots_have_data(page: Any) -> None:
    for figure, marks in (("svg.stack", 6), ("svg.columns", 20)):
        boxes = sizes(page, f"{figure} rect")
        assert len(boxes) >= marks
        assert all(width > 0 and height > 0 for width, height in boxes)
    assert len(sizes(page, "#course ~ svg.columns rect")) > 2 * 70
    piled = sizes(page, "#course ~ svg.columns:last-of-type rect:is(.s-different, .s-missing)")
    assert 20 <= len(piled) <= 40
    assert all(width > 0 and height > 0 for width, height in piled)
    bars = sizes(page, "#causes ~ .wide svg.bar rect:not(.track)")
    assert len(bars) == 9
    assert bars[0][0] > 3 * bars[-1][0] > 0
    left = sizes(page, "#migration ~ .left svg.bar rect:not(.track)")
    tracks = sizes(page, "#migration ~ .left svg.bar rect.track")
    assert len(left) == len(tracks) == 2
    assert [round(some[0] / whole[0], 2) for some, whole in zip(left, tracks, strict=True)] == [0.25, 0.5]
    assert len(sizes(page, "#migration ~ svg.columns rect")) > 2 * 70
    steps = sizes(page, ".gantt svg.bar rect:not(.track)")
    assert len(steps) == 7
    assert all(width > 0 for width, _ in steps)


def test_no_word_of_a_table_is_broken_letter_by_letter_on_a_phone(browser, pages):
    """A column that is squeezed is higher than it is wide; a table is scrolled instead."""
    with opened(browser, pages["failed"], width=WIDTHS["phone"]) as seen:
        squeezed = [
            (cell.inner_text(), box)
            for cell in seen.page.query_selector_all("section[aria-labelledby=row] :is(td, th)")
            if (box := cell.bounding_box()) and box["width"] < 60 and len(cell.inner_text()) > 2
        ]
        assert squeezed == []


@pytest.mark.parametrize("width", WIDTHS)
def test_each_plot_has_data(browser, pages, width):
    with opened(browser, pages["failed"], width=WIDTHS[width]) as seen:
        plots_have_data(seen.page)


def test_without_scripts_all_can_be_read_and_nothing_is_there_that_does_nothing(browser, pages):
    with opened(browser, pages["failed"], java_script_enabled=False) as seen:
        picture(seen.page, "failed-desk-without-scripts")

        assert seen.page.locator("h1").is_visible()
        assert seen.page.locator("#filters").is_hidden()
        assert seen.page.locator("#plan").is_hidden()
        assert "replicator repair --from FOLDER --dry-run" in seen.page.inner_text("main")
        assert seen.page.locator("#rows tbody tr").count() == 94
        assert seen.page.locator("#rows tbody tr").last.is_visible()
        plots_have_data(seen.page)


def test_where_styles_and_scripts_are_refused_first_screen_and_plots_can_be_read(browser, pages, tmp_path):
    text = pages["failed"].read_text()
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"(style|script)-src &#39;sha256-[^;]*&#39;", r"\1-src &#39;none&#39;", text))
    assert bare.read_text() != text

    with opened(browser, bare) as seen:
        picture(seen.page, "failed-desk-without-styles")

        assert len(seen.said) == 2  # that style and script were refused
        assert seen.page.locator("h1").is_visible()
        assert seen.page.locator(".reasons li").first.is_visible()
        plots_have_data(seen.page)
        fills = seen.page.eval_on_selector_all(
            "svg.stack rect", "all => all.map(one => getComputedStyle(one).fill)"
        )
        assert len(set(fills)) == 6


def shown(page: Any) -> int:
    return sum(one.is_visible() for one in page.query_selector_all("#rows tbody tr"))


def test_the_filters_filter_and_say_how_many_are_left(browser, pages):
    with opened(browser, pages["failed"]) as seen:
        page = seen.page
        count = page.locator("#count")
        assert count.inner_text() == "94 of 94 shown"

        page.locator("#filters").get_by_label("State").select_option(label="missing")
        assert (shown(page), count.inner_text()) == (30, "30 of 94 shown")
        page.locator("#filters").get_by_label("State").select_option(label="all")
        page.locator("#filters").get_by_label("Attribute").select_option(label="price")
        assert shown(page) == 52
        page.locator("#filters").get_by_label("Cause").select_option(label="`info` has another value")
        assert shown(page) == 12
        page.locator("#filters").get_by_label("Cause").select_option(label="all")
        page.locator("#filters").get_by_label("Attribute").select_option(label="all")
        page.locator("#filters").get_by_label("Text").fill("0000000003D")
        assert shown(page) == 1
        page.locator("#filters").get_by_label("Text").fill("no such thing")
        assert (shown(page), count.inner_text()) == (0, "0 of 94 shown")
        page.locator("#filters").get_by_label("Text").press(
            "Enter"
        )  # a form that is sent would load the page anew
        assert count.inner_text() == "0 of 94 shown"
        assert seen.asked == [pages["failed"].as_uri()]
        assert seen.said == []


def test_many_findings_are_filtered_as_well(browser, pages):
    with opened(browser, pages["many"]) as seen:
        assert seen.page.locator("#count").inner_text() == "500 of 500 shown"
        seen.page.locator("#filters").get_by_label("Text").fill("order")
        seen.page.locator("#filters").get_by_label("Text").fill("size")
        assert shown(seen.page) == 500
        assert "500 of 30,000, drawn in turn" in seen.page.inner_text("main")


def test_a_keyboard_reaches_everything_in_order(browser, pages):
    with opened(browser, pages["failed"]) as seen:
        page = seen.page
        wanted = page.eval_on_selector_all(
            "a[href], select, input, textarea, button:enabled, [tabindex='0']",
            "all => all.filter(one => one.checkVisibility()).map(one => one.outerHTML.slice(0, 80))",
        )
        reached = []
        for _ in wanted:
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))

        assert len(wanted) > 10
        assert reached == wanted
        page.locator("#filters").get_by_label("State").focus()
        page.keyboard.type("missing")
        assert page.locator("#count").inner_text() == "30 of 94 shown"


def test_causes_are_chosen_by_keyboard_and_the_plan_is_what_the_repair_takes(browser, pages, tmp_path):
    """All of them, so that hostile names are among them; the text to copy is the file to the byte."""
    with opened(browser, pages["failed"]) as seen:
        page = seen.page
        boxes = page.locator("#plan input")
        button = page.get_by_role("button", name="Download the plan")
        assert button.is_disabled()
        assert page.locator("#plan-text").input_value() == ""
        for number in range(boxes.count()):
            boxes.nth(number).focus()
            page.keyboard.press("Space")
        assert page.locator("#planned").inner_text() == f"{boxes.count()} of {boxes.count()} chosen"
        assert violations(page) == []
        with page.expect_download() as waiting:
            button.focus()
            page.keyboard.press("Enter")
        plan = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(plan)
        copied = page.locator("#plan-text").input_value()
        boxes.first.uncheck()
        fewer = tmp_path / "fewer.json"
        fewer.write_text(page.locator("#plan-text").input_value())

        assert seen.said == []
        assert plan.read_text() == copied
    made = plans.read(plan)
    tail = repairs.tail_of(next(pages["failed"].parent.rglob("repair.json")))
    assert made is not None
    assert made.repair == tail.digest
    assert {(one.pair, one.finding, one.cause) for one in made.causes} == {
        (one.pair, one.finding, one.cause) for one in tail.causes
    }
    assert any(HOSTILE in one.cause for one in made.causes)
    assert plans.read(fewer).causes == made.causes[1:]


def test_hostile_names_are_shown_as_they_are_and_do_nothing(browser, pages):
    with opened(browser, pages["failed"]) as seen:
        text = seen.page.inner_text("main")

        assert HOSTILE in text
        assert "price\\x202egnorts\\x2066\\x200f" in text
        assert LONG not in text
        assert seen.page.evaluate("document.scripts.length") == 1
        options = seen.page.locator("#filters").get_by_label("Attribute").locator("option").all_inner_texts()
        assert any(HOSTILE in one for one in options)
        assert seen.said == []


def test_on_paper_there_are_no_controls_and_no_dark(browser, pages):
    with opened(browser, pages["failed"], color_scheme="dark") as seen:
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.locator("#filters").is_hidden()
        assert seen.page.locator("#plan").is_hidden()
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert seen.page.pdf().startswith(b"%PDF")


def test_what_is_asked_of_the_page_is_noticed_if_it_is_not_so(browser, pages, tmp_path):
    """The tests above see a page that complains, loads, or leaves somebody out."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        pages["failed"]
        .read_text()
        .replace(
            "</main>",
            "<img src='https://example.invalid/x.png' onerror='alert(1)'></main>",
        )
    )

    with opened(browser, broken) as seen:
        assert any("Content Security Policy" in one for one in seen.said)
        assert any(one.startswith("image-alt") for one in violations(seen.page))
