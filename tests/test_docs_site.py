"""Every page of the documentation is in the navigation of the site."""

from __future__ import annotations

from pathlib import Path

from website.navigation import NAVIGATION, ROOT_PAGE, toctrees

ROOT = Path(__file__).parents[1]
PAGES = [page for pages in NAVIGATION.values() for page in pages]


def test_every_page_stands_in_it_once() -> None:
    there = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}

    assert len(there) > 15
    assert there == {page for page in PAGES if page.startswith("docs/")}
    assert len(PAGES) == len(set(PAGES))


def test_what_stands_in_it_is_there() -> None:
    assert [page for page in (ROOT_PAGE, *PAGES) if not (ROOT / page).is_file()] == []
    assert {"CHANGELOG.md", "findings/README.md"} <= set(PAGES)


def test_a_newcomer_s_pages_come_first() -> None:
    assert PAGES[:2] == ["docs/is-it-for-me.md", "docs/tutorial.md"]


def test_the_site_is_given_all_of_it() -> None:
    text = toctrees()

    assert text.count("```{toctree}") == len(NAVIGATION)
    assert [line[1:] for line in text.splitlines() if line.startswith("/")] == PAGES
