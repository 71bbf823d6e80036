"""How a gated session has the user's code: compiled from its text, its reads of files noted."""

from __future__ import annotations

from pathlib import Path

from ddbverify import config as configuration
from ddbverify.code import reads, source
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders
from ddbverify.evidence.record import RecordWriter
from ddbverify.plugins.finding import entry_points


def begin(migration_file: Path) -> None:
    """Watch from now on; called before anything of the user's is imported."""
    source.install()
    reads.watch()
    try:
        config = configuration.load(migration_file)
        folders.make_importable(config)
        # Before a conftest.py imports one of them.
        allowed = [point for name, point in entry_points().items() if name in config.verification.plugins]
        own = (point.module.partition(".")[0] for point in allowed)
        source.install(own, folders=[folders.checks_folder(config)])
    except ConfigurationError:  # the session refuses it, in a moment, with all its words
        return


def note_reads(writer: RecordWriter) -> None:
    """Note in the record which files are read, those that were read before included."""
    reads.report(writer.read)


def note_texts(writer: RecordWriter) -> None:
    """At the end: note what was compiled, and what was loaded in another way. The last notes."""
    reads.rest()
    for path, digest in sorted(source.compiled()):
        writer.compiled(path, digest)
    for path in sorted(source.loaded_otherwise()):
        writer.read(path)
