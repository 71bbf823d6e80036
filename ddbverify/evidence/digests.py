"""What of the user's and of our own files decides what "passed" means, as SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

import ddbverify
from ddbverify.code import reach
from ddbverify.code.below import files_below
from ddbverify.code.bound import Bound
from ddbverify.code.digest import digest_of, listed, transforms_of
from ddbverify.code.reach import Files
from ddbverify.config import Config
from ddbverify.evidence.strict import Strict

_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, in hex")]


class Digests(Strict, frozen=True):
    """SHA-256 of everything that decides what "passed" means."""

    configuration: _Digest
    checks: _Digest
    program: _Digest  # of the files of ddbverify itself: one version may have been altered in place
    transforms: dict[str, _Digest]  # module:function -> digest of all its files


def current(config: Config, checks: Path) -> Digests:
    """
    Everything that decides what "passed" means, as it is now.

    Raises:
        ConfigurationError: A transform does not load.
    """
    return Digests(
        configuration=configuration_digest(config),
        checks=digest_of(files_of_checks(config, checks)),
        program=program_digest(),
        transforms={name: digest_of(files) for name, files in transforms_of(config).items()},
    )


def configuration_digest(config: Config) -> str:
    """
    SHA-256 of the settings that decide what is compared with what, and how.

    Bound: name (it finds the pipeline), tables with their transforms and ignored paths, region
    and endpoint of both sides, coverage, settle time, plugins. Not bound: profiles (the tables are bound
    by ARN and id, however one logs in), rates and memory, and everything that the gate and the
    cutover read anew when they act.
    """
    return _digest(
        {
            "name": config.name,
            "tables": msgspec.to_builtins(config.tables),
            "sides": [[side.region, side.endpoint_url] for side in (config.source, config.target)],
            "coverage": config.verification.coverage,
            "settle_seconds": float(config.verification.settle),
            "plugins": list(config.verification.plugins),
            "checks": msgspec.to_builtins(config.checks),
        }
    )


def bound(config: Config, checks: Path, plugins: Iterable[Path]) -> Bound:
    """
    What the digests of a configuration and its plugins are over, file by file.

    Raises:
        ConfigurationError: As `current`.
    """
    modules = [reach.of_folder(checks, config.folder), *transforms_of(config).values()]
    files = {*files_of_checks(config, checks).values(), *plugins}
    files |= {file for some in modules for file in some.values()}
    return Bound.of(files, (config.folder, checks), modules)


def files_of_checks(config: Config, checks: Path) -> Files:
    """
    Everything in the checks folder, what that imports from outside of it, and ``[checks] files``.

    Raises:
        ConfigurationError: A file that is named there does not exist.
    """
    named = listed(config.checks.files, config.folder, "[checks] files")
    return {
        **dict(files_below(checks)),
        **{f"outside:{place}": file for place, file in reach.of_folder(checks, config.folder).items()},
        **{f"named:{file.relative_to(config.folder).as_posix()}": file for file in named},
    }


def program_digest() -> str:
    """SHA-256 of the files of ddbverify, without the default suite, which counts as checks."""
    return folder_digest(Path(ddbverify.__file__).parent, leaving_out="_checks")


def folder_digest(folder: Path, *, leaving_out: str | None = None) -> str:
    """
    SHA-256 over names and contents of all files below *folder*, caches left out.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    return digest_of(dict(files_below(folder, leaving_out)))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
