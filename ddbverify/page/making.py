"""From a folder to ``report.html``: the edge that reads, renders, and writes all or nothing."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.evidence import folders
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.page import found, stamp, tally
from ddbverify.page import origin as origins
from ddbverify.page.origin import Origin
from ddbverify.page.tally import Tally

FILE: Final = "report.html"

_HEAD: Final = 16_384  # bytes in which the stamp of a page stands


@dataclass(frozen=True, slots=True)
class Made:
    """A page, and why it does not show all that there is."""

    content: bytes
    origin: Origin
    problems: tuple[str, ...]


def is_possible() -> bool:
    """Whether the extra is installed that renders pages."""
    return find_spec("jinja2") is not None


def make(folder: Path, config: Config | None, *, keys: bool = False) -> Made:
    """
    The page on a run or a diff.

    Args:
        folder: Of the run or the diff.
        config: The migration's settings, which say whose signature counts; a diff needs none.
        keys: Show raw keys.

    Raises:
        NotTrusted: The folder is a run's, and its evidence must not be believed.
        ConfigurationError: Jinja2 is missing, or the folder is that of neither, or of one under way.
        EngineError: KMS refused to show a trusted key.
    """
    require_possible()
    origin = read_origin(folder, config)
    return render(origin, tally.read(origin.findings, keys=keys), keys=keys)


def read_origin(folder: Path, config: Config | None) -> Origin:
    """
    What a page on *folder* is about. For the errors see `make`.

    Args:
        folder: Of the run or the diff.
        config: As there.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder {folder}.",
            "name that of a run, or of a diff with --out; or run `ddbverify run`.",
        )
    if config is None or origins.is_diff(folder):
        return origins.of_diff(folder)
    return origins.of_run(folder, config)


def render(origin: Origin, listed: Tally | None, *, keys: bool) -> Made:
    """The page that is made of these."""
    from ddbverify.page import rendering  # after `require_possible`: Jinja2 need not be installed

    made_of = stamp.stamp_of(origin, listed.sha256 if listed else None, keys=keys)
    problems = tuple(found.problems(listed, origin.about)) if listed else ()
    return Made(rendering.page(origin, listed, made_of), origin, problems)


def require_possible() -> None:
    """
    Make sure that a page can be rendered.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    if not is_possible():
        raise ConfigurationError(
            "The report is rendered with Jinja2, which is not installed.",
            "install the extra: pip install 'ddbverify[report]'.",
        )


def write(content: bytes, path: Path) -> None:
    """
    Write a page, mode 0600: all of it, or what was there before.

    Raises:
        ConfigurationError: There is another file there, which is never overwritten, or no room.
    """
    _require_ours(path)
    try:
        folders.write_atomically(path, content)
    except OSError as error:
        raise ConfigurationError(
            f"The report cannot be written to {path}: {error.strerror}.",
            "make room and let yourself write there, or name another file with --out.",
        ) from error


def _require_ours(path: Path) -> None:
    try:
        status = path.stat()
        ours = stat.S_ISREG(status.st_mode) and stamp.is_report(_head(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(
            f"The report cannot be written to {path}: {error.strerror}.", "name another file with --out."
        ) from error
    if not ours:
        raise ConfigurationError(
            f"{path} is there already, and is no report of ddbverify.", "name another file with --out."
        )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def leave(folder: Path, load: Callable[[], Config | None], say: Callable[[str], None]) -> None:
    """
    Leave a page beside what a run or a diff has written, where the extra is installed.

    Whatever goes wrong is said in a line, and changes nothing else: the evidence stands.

    Args:
        folder: Of the run or the diff.
        load: Reads the migration's settings.
        say: Tells the user a line.
    """
    if not is_possible():
        return
    try:
        write(make(folder, load()).content, folder / FILE)
    except NotTrusted as error:
        why = f"the evidence is not believed here: {error}"
    except DdbVerifyError as error:
        why = error.message
    except KeyboardInterrupt:
        why = "interrupted"
    except Exception as error:  # noqa: BLE001 - a picture of the outcome must not become the outcome
        why = f"{type(error).__name__}, which nobody has expected; `ddbverify report` says where"
    else:
        return
    with suppress(OSError):  # nobody reads what is said
        say(f"no {FILE}: {why}")
