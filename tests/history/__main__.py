"""``python -m tests.history``: one history, from the command line."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.history.judge import told
from tests.history.run import Options, make


def main() -> int:
    """0 if it held."""
    parser = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the nemesis rages")
    parser.add_argument("--rate", type=float, default=40.0, help="writes a second")
    parser.add_argument("--shape", choices=("", "marked", "moved"), default="", help="a transform")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that carry it, in place of functions"
    )
    given = parser.parse_args()
    options = Options(given.seed, given.seconds, given.rate, given.shape, workers=given.workers)
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        history = make(Path(folder), options)
    print(f"the nemesis: {' '.join(history.done)}")
    print("faults met: " + ", ".join(f"{count} {kind}" for kind, count in history.struck.most_common()))
    print(
        f"drained {history.drained}, gap {history.gap}, ddbverify run {history.verified} "
        f"{history.not_passed}, ddbverify diff {history.by_two}"
    )
    print(told(history.judgement))
    print(
        f"{'held' if history.holds else 'FAILED'}; again: python -m tests.history --seed {options.seed} "
        f"--seconds {options.seconds:g} --rate {options.rate:g} --shape '{options.shape}'"
        f" --workers {options.workers}"
    )
    return 0 if history.holds else 1


if __name__ == "__main__":
    sys.exit(main())
