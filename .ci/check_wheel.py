"""Check that the wheel holds every file of the packages, the templates and the default checks."""

# ruff: noqa: T201 - a script; its output is the point

import sys
import zipfile
from pathlib import Path


def main(wheel: str, root: str) -> int:
    """Compare *wheel* with the checkout at *root*; 1 if a file is missing."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = set()
    for package in ("ddbverify", "replicator", "checks"):
        for path in (Path(root) / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(path.relative_to(root).as_posix())
    wanted = {
        name.replace("checks/", "ddbverify/_checks/", 1) if name.startswith("checks/") else name
        for name in wanted
    }
    missing = sorted(wanted - names)
    templates = [name for name in names if name.startswith("replicator/stack/") and name.endswith(".yaml")]
    checks = [name for name in names if name.startswith("ddbverify/_checks/check_")]
    for name in missing:
        print(f"not in the wheel: {name}")
    if not templates or not checks:
        print(f"the wheel has {len(templates)} templates and {len(checks)} checks")
        return 1
    if missing:
        return 1
    print(f"the wheel is complete: {len(wanted)} files, {len(templates)} templates, {len(checks)} checks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
