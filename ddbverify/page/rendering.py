"""A page's sections -> its bytes. The one module that knows Jinja2, which comes with an extra."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from ddbverify.evidence import links
from ddbverify.evidence.evidence import Evidence
from ddbverify.page import course, found, migration, plots, repairing, stamp, told, view
from ddbverify.page.origin import Origin
from ddbverify.page.stamp import Stamp
from ddbverify.page.tally import Tally, cut
from ddbverify.words import instant_in_words, plain

_TEMPLATES: Final = Path(__file__).parent / "templates"


def page(origin: Origin, tally: Tally | None, made_of: Stamp) -> bytes:
    """
    The page, in UTF-8: for the same arguments the same bytes.

    Args:
        origin: What it is about.
        tally: Of its findings; ``None`` where they are not here.
        made_of: Its stamp.
    """
    about = origin.about
    run = about if isinstance(about, Evidence) else None
    checks, checks_more = view.checks(run) if run else ([], 0)
    style, script = (template_file(name) for name in ("report.css", "report.js"))
    text = (
        environment()
        .get_template("report.html")
        .render(
            run=run,
            changes_only=run is not None and links.is_link(run),
            origin=origin,
            stamp=Markup(stamp.as_written(made_of).decode()),  # noqa: S704 - escaped there
            policy=policy(style, script),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            keys=made_of.keys,
            title=f"Verification {about.verdict}" if run else f"Tables {about.verdict}",
            verdict=about.verdict,
            glyph=view.glyph_of(about.verdict),
            tone=view.tone_of(about.verdict),
            sentence=told.sentence(about),
            reasons=told.reasons(about)[: view.MOST_LISTED],
            reasons_more=max(0, len(told.reasons(about)) - view.MOST_LISTED),
            allowed=view.Listed.of(told.allowed(run) if run else []),
            facts=view.facts(origin),
            pairs=view.pairs(about),
            pairs_more=max(0, len(run.pairs) - view.MOST_PAIRS) if run else 0,
            settings=told.settings(run)[: view.MOST_LISTED] if run else [],
            settings_more=max(0, len(told.settings(run)) - view.MOST_LISTED) if run else 0,
            checks=checks,
            checks_more=checks_more,
            findings=found.findings(tally, about) if tally else None,
            cutover=view.cutover(origin),
            row=view.row(origin),
            migration=migration.view(origin.watched) if origin.watched else None,
            repair=repairing.view_of(origin),
            courses=course.courses(origin.events) if origin.events else [],
            course_damage=origin.events.damage if origin.events else "",
        )
    )
    return text.encode("utf-8", "replace")


def environment() -> jinja2.Environment:
    """What all pages are rendered with."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"width": plots.WIDTH, "height": plots.HEIGHT}
    environment.filters["shown"] = _shown
    environment.filters["exact"] = json.dumps  # of others' text every character, and none that steers
    environment.filters["number"] = lambda number: f"{number:,}"
    environment.filters["moment"] = instant_in_words
    environment.filters["glyph"] = view.glyph_of
    environment.filters["tone"] = view.tone_of
    return environment


def _shown(text: str, most: int = 300) -> Markup:
    """
    Text of others: in one line, not endless, and what it does to the direction of writing ends with it.

    Control characters and marks of direction are shown by their numbers.
    """
    return Markup("<bdi>{}</bdi>").format(plain(cut(text, most)))


def policy(style: str, script: str, *more: str) -> str:
    """What a browser may do with a page: show it, with this style and this script, and *more*."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
            *more,
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def template_file(name: str) -> str:
    """The text of a file beside the templates."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")
