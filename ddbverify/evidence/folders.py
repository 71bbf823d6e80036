"""Where runs are kept: ``.ddbverify/runs/<run id>/`` and ``.ddbverify/latest``."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import ddbverify
from ddbverify.code import shadows, source
from ddbverify.code.digest import functions_of
from ddbverify.config import Config
from ddbverify.errors import ConfigurationError

HOME = ".ddbverify"  # the tool's own folder, beside migration.toml
EVIDENCE = "evidence.json"
FINDINGS = "findings.jsonl"
SEALED = "findings.sealed"  # the same, for whoever has the key
REPAIR = "repair.json"  # raw keys, and keyed digests of items
REPAIR_KEY = "repair.key"  # the secret of those digests
SESSIONS = "pytest"  # folder of what sessions found that leave no evidence
SESSIONS_KEPT = 5
RECORD = "record.jsonl"
EVENTS = "events.jsonl"
JUNIT = "junit.xml"
SUMMARY = "summary.md"
STUCK = "stuck.txt"  # where the process stood, if it had to be ended from outside
SETTINGS = "pytest.ini"  # written first: it tells a run's folder from any other
WAITING = "waiting"  # there while a run has loaded its checks and waits for its word

CHANGED = "changed-{}.jsonl"  # keys to look at, of a pair; gone at the end of the run


RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{32}")
"""Of a run: the second in which it was started, and 128 random bits."""


def moment(name: str) -> datetime | None:
    """The second in which the run of this name was started, by DynamoDB's clock; else ``None``."""
    matched = RUN_ID.fullmatch(name)
    try:
        return datetime.strptime(matched[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if matched else None
    except ValueError:
        return None


def new_run_id(now: float) -> str:
    """Sorts by time, and cannot be guessed: 128 random bits."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(16)}"


def changed_keys(folder: Path, pair_id: str) -> Path:
    """The keys of one pair that a run looks at, where it looks at changes only."""
    return folder / CHANGED.format(pair_id)


def home(config: Config) -> Path:
    """The tool's own folder beside ``migration.toml``."""
    return config.folder / HOME


def runs(config: Config) -> Path:
    """The folder of all runs: each has one in it that is called as the run, or a link to it (``--out``)."""
    return home(config) / "runs"


def latest(config: Config) -> Path:
    """The folder of the run that was started last."""
    return home(config) / "latest"


def last(config: Config) -> Path:
    """
    Where the run lies that was started last: what ``latest`` points at, or the newest by its name.

    A link is lost where folders are copied, and that is no reason to judge nothing.
    """
    link = latest(config)
    if link.is_symlink() or link.exists() or not runs(config).is_dir():
        return link
    return max((path for path in runs(config).iterdir() if RUN_ID.fullmatch(path.name)), default=link)


def make_home(config: Config) -> Path:
    """Make the tool's own folder, out of version control: it holds a private key and raw keys."""
    folder = home(config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return folder


def make_session_folder(config: Config, run_id: str) -> Path:
    """
    Make a folder, mode 0700, for what a session finds that is no run; only the last ones are kept.

    Raises:
        OSError: It cannot be made.
    """
    sessions = make_home(config) / SESSIONS
    folder = sessions / run_id
    folder.mkdir(mode=0o700, parents=True)
    for old in sorted(path for path in sessions.iterdir() if path.is_dir())[:-SESSIONS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)  # of another session, which may be removing it, too
    return folder


def make_run_folder(config: Config, run_id: str, out: Path | None) -> Path:
    """
    Make the folder of a new run, mode 0700, and let ``latest`` point at it at once.

    At once, because a run that dies must not leave an older one looking like the last word. A run
    that lies elsewhere leaves a link among the others, for the same reason.

    Raises:
        ConfigurationError: *out* exists and is not empty, cannot be made, or is among the runs, where
            a folder is called as its run.
    """
    inside = runs(config) / run_id
    folder = out if out is not None else inside
    is_inside = _is_among_the_runs(config, folder)
    if is_inside and folder.name != run_id:
        raise _called_as_a_run(config, folder)
    try:
        _make_empty(config, folder)
        enter(config, run_id, folder)
    except OSError as error:
        raise unusable(error, folder) from error
    return folder


def make_folder_ahead(config: Config, out: Path) -> Path:
    """
    Make the folder of a run that does not begin yet: `enter` makes it one of the runs, and the latest.

    Raises:
        ConfigurationError: As `make_run_folder`.
    """
    if _is_among_the_runs(config, out):
        raise _called_as_a_run(config, out)
    try:
        _make_empty(config, out)
    except OSError as error:
        raise unusable(error, out) from error
    return out


def enter(config: Config, run_id: str, folder: Path) -> None:
    """
    Let the folder of a run stand among the others, and ``latest`` point at it.

    Raises:
        OSError: It cannot.
    """
    inside = runs(config) / run_id
    if not _is_among_the_runs(config, folder):
        runs(config).mkdir(mode=0o700, exist_ok=True)
        inside.symlink_to(os.path.relpath(folder.resolve(), runs(config).resolve()))
    point_latest(config, folder)


def _is_among_the_runs(config: Config, folder: Path) -> bool:
    return folder.resolve().parent == runs(config).resolve()


def _called_as_a_run(config: Config, folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The folder {folder} is among the runs of {runs(config)}, which are called by their ids.",
        "name one elsewhere with --out, or leave --out away.",
    )


def _make_empty(config: Config, folder: Path) -> None:
    make_home(config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if any(folder.iterdir()):
        raise ConfigurationError(
            f"The folder {folder} is not empty.",
            "name another one with --out; runs are never overwritten.",
        )


def unusable(error: OSError, folder: Path) -> ConfigurationError:
    """What the disk refuses about *folder* or a place beside it."""
    return ConfigurationError(
        f"The folder {error.filename or folder} cannot be used: {error.strerror}.",
        "make room and let yourself write there; a run's own folder is another one with --out.",
    )


def point_latest(config: Config, folder: Path) -> None:
    """Let ``latest`` point at *folder*, in one step."""
    beside = make_home(config) / f".latest-{secrets.token_hex(8)}"
    beside.symlink_to(os.path.relpath(folder.resolve(), home(config).resolve()))
    with _taken_away(beside):
        beside.replace(latest(config))


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """All of *content*, or what was there before; nothing else is left, whatever ends it."""
    beside = path.with_name(f".{path.name[:100]}-{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with _taken_away(beside):
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


@contextmanager
def _taken_away(beside: Path) -> Iterator[None]:
    """Whatever fails, half of a file is not left under a name that nobody opens: the disk may be full."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def checks_folder(config: Config) -> Path:
    """
    The suite of a run: ``checks/`` beside ``migration.toml``, else the one that came with us.

    Raises:
        ConfigurationError: There is neither, or what is called ``checks`` is no folder: a link into a
            repository that was not checked out, or what Git makes of one where there are no links.
    """
    own = config.folder / "checks"
    if own.is_dir():
        return own.resolve()
    if own.exists() or own.is_symlink():
        raise ConfigurationError(
            f"{own} is no folder{', but a link to what is not there' if own.is_symlink() else ''}.",
            "put your checks there; for the default suite take it away.",
        )
    return default_suite()


def default_suite() -> Path:
    """
    The checks that came with us.

    Raises:
        ConfigurationError: They are missing.
    """
    package = Path(ddbverify.__file__).parent
    # In a wheel the suite is inside the package; in an editable install it is beside it.
    for folder in (package / "_checks", package.parent / "checks"):
        if folder.is_dir():
            return folder.resolve()
    raise ConfigurationError(
        "The default suite is missing from the installation.",
        "install ddbverify again, or write checks into checks/ beside migration.toml.",
    )


def make_importable(config: Config) -> None:
    """
    Let transforms and inverses be found beside ``migration.toml``, as when the handlers are bundled.

    The user's code is compiled from its text from here on, for the whole process.

    Raises:
        ConfigurationError: A module there has the name of a library that we need.
    """
    source.install(name.partition(":")[0].partition(".")[0] for name in functions_of(config))
    shadows.put_on_path(str(config.folder))
