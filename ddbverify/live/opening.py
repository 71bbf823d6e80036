"""The options of commands that serve a live page, and the page that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from ddbverify.config import Config
from ddbverify.evidence import folders
from ddbverify.live import address

if TYPE_CHECKING:
    from ddbverify.live.web import Page

web_option = click.option(
    "--web", is_flag=True, help="Serve the same as a page for this machine; prints its address."
)
port_option = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Of the page; default: the one of last time, else any that is free.",
)


def page(config: Config, name: Literal["run", "watch"], port: int | None, say: Callable[[str], None]) -> Page:
    """
    The live page of one command, at the address of before if that can be had.

    Args:
        config: Of the migration.
        name: Of the command.
        port: That was asked for.
        say: Tells the user a line.

    Raises:
        ConfigurationError: The port that was asked for cannot be had, or the extra is not installed.
    """
    from ddbverify.live import web  # Jinja2 need not be installed

    place = folders.make_home(config) / f"page-{name}.json"
    wanted = address.kept(place)
    if port is not None:
        wanted = msgspec.structs.replace(wanted, port=port)
    return web.opened(wanted, partial(address.keep, place), say, is_asked=port is not None)
