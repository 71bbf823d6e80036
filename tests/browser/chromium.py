"""
The browser of the tests in this folder: Chromium as the system has it, driven by Playwright.

``python -m tests.browser.chromium install`` gets it where a pipeline runs as root (``make test-browser``
calls that). Playwright's own downloads are not used.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SKIPPED = 3
APT_SECONDS = 300

SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
"""Where pictures of the pages are left, for people and as artefacts of a pipeline."""


def executable() -> str | None:
    """Return the browser that is here."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def missing() -> str | None:
    """Say in one line what keeps a browser from running."""
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            return f"a browser is driven by {module}, which is not installed; run `make test-browser`"
    if executable() is None:
        return "there is no Chromium; install it (apt install chromium), then run `make test-browser`"
    return None


def install() -> int:
    """Get Chromium where that is asked for by a pipeline; 0 if it is there, 3 if it is not to be."""
    if executable() is None and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        for arguments in (
            ("update",),
            ("install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"),
        ):
            subprocess.run(
                ["apt-get", "-qq", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=APT_SECONDS,
                check=True,
            )
    why = missing()
    if why is not None:
        print(f"skipped: {why}")
        return SKIPPED
    return 0


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit("usage: python -m tests.browser.chromium install")
    sys.exit(install())
