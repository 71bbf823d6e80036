"""
The runs of a migration in its bucket, so that one may go on from another where no disk lasts between them.

Only what is fit to leave the machine that ran: no raw key. The evidence goes last, as on a disk, so that a
folder without it is one of a run that was not kept whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ddbverify.config import Config
from ddbverify.evidence import folders
from ddbverify.tables.aws import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX: Final = "runs/"
"""Of the keys: ``runs/<run id>/<file>``."""

_KEPT: Final = (
    folders.EVENTS,
    folders.SEALED,
    folders.JUNIT,
    "report.html",
    folders.SUMMARY,
    folders.EVIDENCE,  # last
)
_KEY: Final = re.compile(rf"{PREFIX}({folders.RUN_ID.pattern})/{re.escape(folders.EVIDENCE)}")


def fetch(s3: S3Client, bucket: str, config: Config) -> list[str]:
    """
    Put the evidence of the runs in the bucket beside those of this machine.

    The newest one, and those that its chain may stand on. Whoever reads them trusts their signature, and
    neither the bucket nor this.

    Returns:
        Names of the runs that were fetched.

    Raises:
        EngineError: S3 refused, or a download broke off: then nothing may go on from what is here.
    """
    with translated(f"list the runs in the bucket {bucket}"):
        found = dict(_listed(s3, bucket))
    fetched = []
    for name in sorted(_needed(found, config)):
        folder = folders.runs(config) / name
        if folder.exists():
            continue
        with translated(f"fetch the run {name} from the bucket {bucket}"):
            content = s3.get_object(Bucket=bucket, Key=found[name])["Body"].read()
        folders.make_home(config)
        folder.mkdir(mode=0o700, parents=True)
        folders.write_atomically(folder / folders.EVIDENCE, content)
        fetched.append(name)
    return fetched


def _listed(s3: S3Client, bucket: str) -> Iterator[tuple[str, str]]:
    """Names of runs, and the keys of their evidence."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for one in page.get("Contents", ()):
            if (matched := _KEY.fullmatch(one["Key"])) and folders.moment(matched[1]):
                yield matched[1], one["Key"]


def _needed(names: dict[str, str], config: Config) -> Iterator[str]:
    """The newest run and what is young enough beside it to be what it stands on."""
    moments = {name: moment for name in names if (moment := folders.moment(name)) is not None}
    if not moments:
        return
    # A full pass is this old at most when it ends, and it may have begun a day before.
    oldest = max(moments.values()) - timedelta(seconds=float(config.verification.max_base_age), days=1)
    yield from (name for name, moment in moments.items() if moment >= oldest)


def names(config: Config) -> set[str]:
    """The runs that this machine has a folder of."""
    folder = folders.runs(config)
    return (
        {one.name for one in folder.iterdir() if folders.RUN_ID.fullmatch(one.name)}
        if folder.is_dir()
        else set()
    )


def keep(s3: S3Client, bucket: str, folder: Path) -> list[str]:
    """
    Put a run's folder into the bucket, but for what holds keys of items.

    Returns:
        Names of the files.

    Raises:
        EngineError: S3 refused one.
    """
    kept = [name for name in _KEPT if (folder / name).is_file()]
    for name in kept:
        with translated(f"keep {name} of the run {folder.name} in the bucket {bucket}"):
            s3.put_object(
                Bucket=bucket, Key=f"{PREFIX}{folder.name}/{name}", Body=(folder / name).read_bytes()
            )
    return kept
