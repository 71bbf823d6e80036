"""Sends numbers to all that ``[metrics]`` names; what fails is told in a sentence, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ddbverify.config import Metrics
from ddbverify.config_checks import split_host
from ddbverify.metrics import otlp, statsd, textfile
from ddbverify.metrics.measures import Measured

EXTRA: Final = "pip install 'ddbverify[metrics]'"


def send(
    measure: Callable[[], Sequence[Measured]],
    settings: Metrics,
    folder: Path,
    name: str,
    say: Callable[[str], None],
) -> None:
    """
    Send what *measure* counts, where anybody wants it.

    Args:
        measure: Called only where something is set; whatever it raises is told, too.
        folder: What a relative path is looked up from.
        name: Of the file; characters that a file's name should not have are replaced.
        say: Is told in a sentence each what was not sent.
    """
    ways = list(_ways(settings, folder, name))
    if not ways:
        return
    try:
        measured = measure()
    except Exception as error:  # noqa: BLE001 - a defect here must not cost a run its outcome
        say(f"metrics were not sent: they could not be counted ({type(error).__name__}).")
        return
    for what, way in ways:
        try:
            way(measured)
        except ImportError as error:
            say(f"metrics were not sent to {what}: {error.name} is not installed; {EXTRA} has it.")
        except Exception as error:  # noqa: BLE001 - of three libraries, and none is worth a verdict
            why = error.strerror or str(error) if isinstance(error, OSError) else type(error).__name__
            say(f"metrics were not sent to {what}: {why}.")


def _ways(
    settings: Metrics, folder: Path, name: str
) -> list[tuple[str, Callable[[Sequence[Measured]], None]]]:
    found: list[tuple[str, Callable[[Sequence[Measured]], None]]] = []
    if settings.textfile is not None:
        safe = re.sub(r"[^A-Za-z0-9-]+", "_", name)
        found.append(("textfile", partial(textfile.write, folder=folder / settings.textfile, name=safe)))
    if settings.otlp is not None:
        found.append(("otlp", partial(otlp.send, endpoint=settings.otlp)))
    if settings.statsd is not None:
        host, port = split_host(settings.statsd)
        found.append(("statsd", partial(statsd.send, host=host, port=port)))
    return found
