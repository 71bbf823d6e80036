"""``python -m website [FOLDER]``: build the site, every warning an error, and look at what was built."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

from website import built

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "site"


def build(folder: Path) -> int:
    """Build the site into *folder*, anew; the exit status is 0 if nothing at all is wrong with it."""
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as doctrees:
        # Quiet but for warnings: all of them are shown, and then they are errors.
        how = ["-q", "-n", "-W", "--keep-going", "-b", "html", "-d", doctrees, "-c", str(ROOT / "website")]
        status = build_main([*how, str(ROOT), str(folder)])
    found = list(built.problems(folder)) if folder.is_dir() else [f"{folder}: nothing was built"]
    for problem in found:
        print(problem, file=sys.stderr)  # noqa: T201 - its output is the point
    return status or bool(found)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python -m website [FOLDER]")
    sys.exit(build(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
