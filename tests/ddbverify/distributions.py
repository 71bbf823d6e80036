"""Installed plugins, as `importlib.metadata` sees them: a module, and a ``.dist-info`` beside it."""

from __future__ import annotations

from pathlib import Path


def install(
    folder: Path,
    name: str,
    source: str,
    *,
    entry: str | None = None,
    version: str = "1.0",
    distribution: str | None = None,
) -> Path:
    """
    Lay a distribution with one plugin into *folder*, which has to be on the path.

    Args:
        folder: Such as a folder in PYTHONPATH.
        name: Of the plugin and the distribution; its module has underscores.
        source: Of the module.
        entry: What the entry point names; the module by default.
        version: Of the distribution.
        distribution: Its name, where it is not the plugin's.
    """
    module = name.replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source)
    distribution = distribution or name
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[ddbverify]\n{name} = {entry or module}\n")
    return folder / f"{module}.py"
