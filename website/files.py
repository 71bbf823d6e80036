"""
Pages for files of the repository that a page links to: a module, a schema, the licence.

On GitHub such a link opens the file. Here it opens a page that shows it: the site needs no other host.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes

ROOT = Path(__file__).parents[1]


def page_of(path: str) -> str:
    """The page that shows the file; its folders hide nothing, as some hosts leave out hidden ones."""
    return "/".join(["files", *(part.lstrip(".") for part in path.split("/"))])


def connect(app: Any) -> None:
    """Let Sphinx make these pages."""
    linked: set[str] = set()

    def to_pages(_app: Any, doctree: nodes.document) -> None:
        here = app.env.docname
        for link in list(doctree.findall(addnodes.download_reference)):
            _, absolute = app.env.relfn2path(link["reftarget"], here)
            path = Path(absolute).resolve().relative_to(ROOT).as_posix()
            linked.add(path)
            page = nodes.reference(
                "", "", *link.children, refuri=app.builder.get_relative_uri(here, page_of(path))
            )
            page["internal"] = True
            link.replace_self(page)

    def pages(_app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
        for path in sorted(linked):
            text = (ROOT / path).read_text(encoding="utf-8")
            try:
                language = get_lexer_for_filename(path).aliases[0]
            except ClassNotFound:
                language = "text"
            shown = app.builder.highlighter.highlight_block(text, language, force=True)
            yield page_of(path), {"title": path, "body": f"<h1>{path}</h1>\n{shown}"}, "page.html"

    app.connect("doctree-read", to_pages, priority=100)  # before Sphinx copies them as downloads
    app.connect("html-collect-pages", pages)
