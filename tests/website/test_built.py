"""A link that leads nowhere is seen in the built site, and whatever would come from another host."""

from __future__ import annotations

from pathlib import Path

import pytest

from website import built

GOOD = """<html><head>
<link rel="stylesheet" href="_static/a.css?v=1"><link rel="canonical" href="https://x.example/">
<style>p { background: url(data:image/png;base64,AA) }</style></head>
<body id="top"><h1 id="one">One</h1><img src="_static/a.png">
<a href="#one">1</a><a href="docs/two.html#zw%C3%B6lf">2</a><a href="docs/">d</a>
<a href="https://docs.aws.amazon.com/">AWS</a><a href="mailto:a@b.example">m</a></body></html>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in {
        "index.html": GOOD,
        "docs/index.html": "<a href='../index.html#top'>up</a>",
        "docs/two.html": "<h1 id='zwölf'>12</h1>",
        "_static/a.css": "p { background: url('a.png') }",
        "_static/a.png": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_whole_site_has_no_problem(site: Path) -> None:
    assert list(built.problems(site)) == []


def test_no_page_at_all_is_one(tmp_path: Path) -> None:
    assert list(built.problems(tmp_path)) == [f"{tmp_path}: there is no page"]


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("<a href='#three'>", "links to #three: no such anchor"),
        ("<a href='docs/two.html#one'>", "links to docs/two.html#one: no such anchor"),
        ("<a href='three.html'>", "links to three.html: no such page"),
        ("<a href='_static/'>", "links to _static/: no such page"),
        (
            "<script src='https://cdn.example/x.js'></script>",
            "fetches https://cdn.example/x.js: another host",
        ),
        ("<img src='//cdn.example/x.png'>", "fetches //cdn.example/x.png: another host"),
        ("<img srcset='_static/a.png, http://x.example/b 2x'>", "fetches http://x.example/b: another host"),
        ("<link rel='preconnect' href='https://x.example'>", "fetches https://x.example: another host"),
        ("<link rel='stylesheet' href='_static/b.css'>", "fetches _static/b.css: no such file"),
        (
            "<style>@import 'https://x.example/f.css';</style>",
            "fetches https://x.example/f.css: another host",
        ),
        ("<p style='background: url(http://x.example/y)'>", "fetches http://x.example/y: another host"),
        ("<img src='../outside.png'>", "fetches ../outside.png: no such file"),
    ],
)
def test_each_problem_is_named(site: Path, added: str, said: str) -> None:
    (site.parent / "outside.png").touch()
    (site / "index.html").write_text(GOOD.replace("</body>", f"{added}</body>"), encoding="utf-8")

    assert list(built.problems(site)) == [f"index.html: {said}"]


def test_a_style_that_fetches_a_font_is_named(site: Path) -> None:
    (site / "_static/a.css").write_text("@font-face { src: url(https://fonts.example/a.woff2) }")

    assert list(built.problems(site)) == [
        "_static/a.css: fetches https://fonts.example/a.woff2: another host"
    ]
