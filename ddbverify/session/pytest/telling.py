"""A session that waits for its parent's word between the loading of its checks and the first of them."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from ddbverify.config import Config
from ddbverify.errors import DdbVerifyError, Inconclusive
from ddbverify.names import region_of
from ddbverify.session import told
from ddbverify.session.checking import ORPHANED_STATUS
from ddbverify.session.pytest.items import CHECKING
from ddbverify.session.pytest.unloaded import require_its_plugins
from ddbverify.tables import aws

if TYPE_CHECKING:
    from ddbverify.tables.services import ServiceName

_SERVICES: Final[tuple[ServiceName, ...]] = ("dynamodb", "lambda", "sqs", "application-autoscaling")
"""Of which checks of the default suite read something."""


def wait(session: pytest.Session) -> None:
    """Wait, with ``--ddb-told``, if there is something to run."""
    descriptor = session.config.getoption("--ddb-told")
    if descriptor is None or session.testsfailed or not session.items:
        return  # its parent sees how it ends
    checking = session.config.stash[CHECKING]
    word = told.wait(descriptor, partial(_make_ready, session, checking.config))
    if not word:
        os._exit(ORPHANED_STATUS)
    if word != told.CHANGES:  # none are to be had, whatever was announced
        for pair in checking.pairs:
            pair.changed = None


def _make_ready(session: pytest.Session, config: Config) -> None:
    """Make what takes its time and reads nothing of the tables: clients, and what files of checks import."""
    for pair in config.tables:
        for side, name in ((config.source, pair.source), (config.target, pair.target)):
            for service in _SERVICES:
                with suppress(DdbVerifyError):  # refused again where it is used, and told there
                    aws.client(side, service, region=region_of(name))
    for item in session.items:
        with suppress(Inconclusive):  # likewise
            require_its_plugins(item)
    gc.freeze()  # it stays to the end, where pytest and Python would look through it for a third of a second
