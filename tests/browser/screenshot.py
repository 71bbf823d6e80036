"""
The picture of a report in the README: ``make screenshot`` takes it, of the page that ``make demo`` leaves.

Beside it stands the outline of a page: what its beginning is made of, without numbers. If pages have
another one by now, ``tests/browser/test_screenshot.py`` fails: the picture does not go stale unnoticed.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.browser import chromium
from tests.browser.seeing import launched, opened

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "build" / "demo" / "altered.html"
PICTURE: Final = ROOT / "website" / "report.png"
OUTLINE: Final = ROOT / "website" / "report.outline.json"
WIDTH, HEIGHT = 1200, 900
SECTIONS = 2  # of the outline: as many as the picture shows; by count, since heights are of the fonts
MOST_BYTES: Final = 200_000
RENEW: Final = "renew picture and outline with `make screenshot`, look at the picture, and commit both"

# Of each element before the section that comes after these: what it is, and what it says if that is a name.
_ELEMENTS = """
sections => [...document.querySelectorAll("body *")].map(one => {
  const end = document.querySelectorAll("main > section")[sections];
  const before = one.compareDocumentPosition(end) & Node.DOCUMENT_POSITION_FOLLOWING;
  if (!before || !one.checkVisibility()) return null;
  const kind = [one.tagName.toLowerCase(), ...one.classList].join(".");
  return [kind, one.matches("h1, h2, h3, dt, th, caption, figcaption, label, nav a") ? one.textContent : ""];
}).filter(one => one)
"""


def outline(page: Any) -> list[str]:
    """What the beginning is made of: kinds of elements with their names, each once."""
    found = page.evaluate(_ELEMENTS, SECTIONS)
    said = (f"{kind} {_without_numbers(text)}".strip() for kind, text in found)
    return list(dict.fromkeys(said))


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", " ".join(text.split()))


def machine_paths(text: str) -> list[str]:
    """Paths of this machine that a page shows."""
    ours = {str(Path.home()), str(ROOT), tempfile.gettempdir()}
    return sorted(one for one in ours if one != "/" and one in text)


def take(browser: Any, page: Path, picture: Path) -> None:
    """Take the picture; AssertionError if it is not one for a README."""
    with opened(browser, page, width=WIDTH, color_scheme="light") as seen:
        assert seen.page.viewport_size == {"width": WIDTH, "height": HEIGHT}
        assert machine_paths(seen.page.content()) == [], "the page shows paths of this machine"
        picture.write_bytes(seen.page.screenshot())
    assert picture.stat().st_size < MOST_BYTES, "the picture is too large"


def main() -> int:
    """Renew picture and outline."""
    from tests.browser.test_report import make_page

    if (why := chromium.missing()) is not None:
        print(why)
        return 1
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        take(browser, PAGE, PICTURE)
        with opened(browser, make_page(Path(folder), "failed"), width=WIDTH) as seen:
            lines = outline(seen.page)
    OUTLINE.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes; {OUTLINE}: {len(lines)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
