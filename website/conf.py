"""
Sphinx's settings. The source is the root of the repository: links between ``README.md``, ``docs/`` and
the other pages are links between pages here, too, and are checked with their anchors.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

from website import files
from website.navigation import NAVIGATION, ROOT_PAGE, toctrees

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
release = version = PROJECT["version"]
author = PROJECT["authors"][0]["name"]
root_doc = ROOT_PAGE.removesuffix(".md")
# All of docs/: a page that was forgotten in the navigation is a warning, and a warning is an error.
include_patterns = ["docs/*.md", ROOT_PAGE, *sum(NAVIGATION.values(), ())]
exclude_patterns = [".*", "build", "ddbverify", "replicator", "tests"]
extensions = ["myst_parser"]
nitpicky = True
highlight_language = "text"  # of blocks that name none

# Pages are CommonMark with the tables and the anchors of GitHub, and nothing else.
myst_enable_extensions: list[str] = []
myst_heading_anchors = 4

html_theme = "furo"
html_title = project
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_favicon = "icon.svg"  # without one a browser asks for /favicon.ico, which is not there


def _with_navigation(app: Any, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += toctrees()


_NAME = re.compile(r'(?<=<span class="pre">)[^<]{16,}')


def _for_all(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """
    What moves within itself can be reached by keyboard, a chapter's name says how deep it stands, and a long
    name in a table may be broken where it has joints.
    """
    body = context.get("body", "").replace("<pre>", '<pre tabindex="0">')
    body = body.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
    context["body"] = _NAME.sub(lambda found: re.sub(r"([_/])(?=\w)", r"\1<wbr>", found[0]), body)
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def _also_as_index(app: Any, failed: Exception | None) -> None:
    """A folder is opened at its ``index.html``."""
    if failed is None:
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _with_navigation)
    app.connect("html-page-context", _for_all, priority=900)  # after the theme's own
    app.connect("build-finished", _also_as_index)
    files.connect(app)
