"""The live page: its frame, which stays, and what is inside, which comes anew with each event."""

from __future__ import annotations

import functools

import jinja2
from markupsafe import Markup

from ddbverify.page import rendering
from ddbverify.page.live_view import LiveView


def fragment(view: LiveView) -> str:
    """What is inside the page at one moment."""
    return _environment().get_template("live_part.html").render(view=view)


def frame(view: LiveView) -> tuple[bytes, str]:
    """The whole page as it begins, in UTF-8, and the policy that its answer is sent with."""
    style, script = (rendering.template_file(name) for name in ("report.css", "live.js"))
    text = (
        _environment()
        .get_template("live.html")
        .render(
            title=view.title,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            fragment=Markup(fragment(view)),  # noqa: S704 - rendered with escapes
        )
    )
    policy = rendering.policy(style, script, "connect-src 'self'", "frame-ancestors 'none'")
    return text.encode("utf-8", "replace"), policy


@functools.cache
def _environment() -> jinja2.Environment:
    return rendering.environment()
