"""What the built site is held to: links lead somewhere, and nothing comes from another host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes whose address a browser fetches by itself; `href` of these elements as well.
FETCHED = {"src", "srcset", "poster", "data", "background", "xlink:href"}
FETCHING = {"link", "use", "image"}
LED_TO = {"canonical", "next", "prev", "index", "search"}  # of <link rel>: addresses that nobody fetches

_CSS = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


@dataclass(slots=True)
class Page:
    """What one page names."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        given = {name: value or "" for name, value in attrs}
        relation = set(given.get("rel", "").split())
        self.page.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        for name, value in given.items():
            if name == "style":
                self.page.fetched += fetched_by_css(value)
            elif name == "srcset":
                self.page.fetched += [one.split()[0] for one in value.split(",") if one.strip()]
            elif name in FETCHED or (name == "href" and tag in FETCHING and not LED_TO & relation):
                self.page.fetched.append(value)
            elif name == "href":
                self.page.links.append(value)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's signature
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.page.fetched += fetched_by_css(data)


def read(text: str) -> Page:
    """What a page of HTML names."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.page


def fetched_by_css(text: str) -> list[str]:
    """Addresses that a style has fetched."""
    return [one or two for one, two in _CSS.findall(text)]


def problems(folder: Path) -> Iterator[str]:
    """Every link that leads nowhere and everything that is fetched from elsewhere, a line each."""
    pages = {file: read(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("*.html"))}
    if not pages:
        yield f"{folder}: there is no page"
    for file, page in pages.items():
        name = file.relative_to(folder)
        for address in page.fetched:
            if why := _not_here(folder, file, address):
                yield f"{name}: fetches {address}: {why}"
        for address in page.links:
            if why := _leads_nowhere(pages, file, address):
                yield f"{name}: links to {address}: {why}"
    for style in sorted(folder.rglob("*.css")):
        for address in fetched_by_css(style.read_text(encoding="utf-8")):
            if why := _not_here(folder, style, address):
                yield f"{style.relative_to(folder)}: fetches {address}: {why}"


def _not_here(folder: Path, file: Path, address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme == "data" or not (parts.scheme or parts.netloc or parts.path):
        return ""
    if parts.scheme or parts.netloc:
        return "another host"
    goal = (file.parent / unquote(parts.path)).resolve()
    return "" if goal.is_file() and goal.is_relative_to(folder.resolve()) else "no such file"


def _leads_nowhere(pages: dict[Path, Page], file: Path, address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""  # whoever follows it asks for it
    goal = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if goal.is_dir():
        goal /= "index.html"
    if goal not in pages:
        return "" if goal.is_file() else "no such page"
    anchor = unquote(parts.fragment)
    return "" if not anchor or anchor in pages[goal].anchors else "no such anchor"
