"""
Plugins: found, held against the hooks' specifications, and named so that evidence can be bound to them.

Of the entry points of the group ``ddbverify`` only those are imported that ``[verification] plugins``
lists: installing a distribution must not change what "passed" means. A ``checks/conftest.py`` is part
of the checks and needs no listing. Everything that implements a hook has a digest.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import msgspec
import pluggy

from ddbverify.code import source
from ddbverify.code.digest import package_files
from ddbverify.config import Config
from ddbverify.errors import ConfigurationError, PluginError
from ddbverify.plugins import hookspecs, of_pytest
from ddbverify.plugins.asking import ANSWER_SECONDS, Asker, Implementation
from ddbverify.plugins.built_in import Replicator
from ddbverify.plugins.finding import CONFTEST, conftest_module, entry_points
from ddbverify.plugins.fitting import HOOKS, hold_against_its_spec, implemented
from ddbverify.plugins.hookspecs import PROJECT
from ddbverify.plugins.of_pytest import PytestPlugin
from ddbverify.words import page

BUILT_IN: Final = PROJECT


_CHECK_FILE = re.compile(r"check_\w+\.py", re.ASCII)


class PluginRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One plugin that took part, as the evidence names it."""

    name: str
    origin: Literal["entry-point", "conftest", "pytest"]
    distribution: str = ""  # of an entry point
    version: str = ""
    digest: str  # SHA-256 of its code: see `Plugins.records`
    hooks: tuple[str, ...]
    check_files: tuple[str, ...] = ()  # names of the files it brings


class Plugins:
    """
    All plugins of one session or command, in a plugin manager of our own.

    pytest's manager ignores hooks without its prefix, and a gate has no pytest at all.
    """

    def __init__(self, config: Config, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """
        Start with the built-in one, which knows the replicator's pipeline.

        Args:
            config: The migration's settings.
            answer_seconds: For each question to a plugin.
        """
        self._config = config
        self.ask = Asker(answer_seconds)
        self._manager = _Manager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._added: dict[str, tuple[PluginRecord, Mapping[str, Path]]] = {}  # with its files
        self._check_files: dict[str, tuple[Path, ...]] = {}
        # No part of `records`, and asked last where the first answer wins.
        self._manager.register(Replicator(config), BUILT_IN)

    @classmethod
    def of(cls, config: Config, checks: Path, *, answer_seconds: float = ANSWER_SECONDS) -> Plugins:
        """
        The plugins that a configuration allows, and the ``conftest.py`` of a folder of checks.

        Raises:
            ConfigurationError: One is not installed, does not load, or does not fit its hooks.
        """
        plugins = cls(config, answer_seconds=answer_seconds)
        with redirect_stdout(sys.stderr):  # standard output is the command's own
            module = conftest_module(checks)
            if module is not None:
                plugins.add_conftest(module)
            plugins.add_allowed()
        return plugins

    def add_conftest(self, module: ModuleType) -> None:
        """
        Register a ``conftest.py``, if it implements any hook.

        Raises:
            ConfigurationError: It does not fit its hooks.
        """
        if implemented(module):
            file = Path(str(module.__file__))
            self._add(module, _conftest_name(self._config, file), "conftest", {CONFTEST: file})

    def add_allowed(self) -> None:
        """
        Import and register what ``[verification] plugins`` lists; it is asked in that order.

        Raises:
            ConfigurationError: As `of`.
        """
        found = entry_points()
        for name in reversed(self._config.verification.plugins):  # pluggy asks the last one first
            if name not in found:
                raise ConfigurationError(
                    f"[verification] plugins: no plugin {name!r} is installed.",
                    "install it beside ddbverify, or take it off the list; `ddbverify plugins` lists them.",
                )
            self._add_entry_point(found[name])
        for plugin in of_pytest.listed(self._config.checks.pytest_plugins):
            self._add_of_pytest(plugin)

    def _add_of_pytest(self, plugin: PytestPlugin) -> None:
        """It is loaded by pytest and has no hook of ours; the evidence names it, since it decides, too."""
        if plugin.name in self._added:
            raise _two_of(plugin.name)
        source.install(tuple({module.partition(".")[0] for module in plugin.modules}))
        record = PluginRecord(
            name=plugin.name,
            origin="pytest",
            distribution=plugin.name,
            version=plugin.version,
            digest="",
            hooks=(),
        )
        self._added[plugin.name] = (record, plugin.files)

    def _add_entry_point(self, entry_point: EntryPoint) -> None:
        name = entry_point.name
        source.install((entry_point.module.partition(".")[0],))
        try:
            plugin = entry_point.load()
        # An import runs the plugin's code; whatever it raises, the plugin cannot be used.
        except (Exception, SystemExit) as error:
            raise ConfigurationError(
                f"The plugin {name} does not load: {type(error).__name__}: {error}",
                "mend it, or take it off [verification] plugins.",
            ) from error
        if inspect.isclass(plugin) or not implemented(plugin):
            what = "is a class" if inspect.isclass(plugin) else "implements no hook"
            raise ConfigurationError(
                f"The plugin {name} ({entry_point.value}) {what}.",
                f"let the entry point name a module or an object with functions of {page('plugins.md')}.",
            )
        try:
            files = package_files(f"{entry_point.module}:")
        except ConfigurationError as error:
            raise ConfigurationError(
                f"The plugin {name}: the files of {entry_point.value} are not found, and nothing can be "
                "bound to them.",
                "install it as plain files.",
            ) from error
        of = entry_point.dist
        self._add(plugin, name, "entry-point", files, of.name if of else "", of.version if of else "")

    def _add(
        self,
        plugin: object,
        name: str,
        origin: Literal["entry-point", "conftest"],
        files: Mapping[str, Path],
        distribution: str = "",
        version: str = "",
    ) -> None:
        hooks = implemented(plugin)
        for attribute, function in hooks.items():
            hold_against_its_spec(name, attribute, function)
        if name in self._added:
            raise _two_of(name)
        self._manager.register(plugin, name)
        # A function may come from elsewhere than the file that offers it.
        sources = {Path(source) for source in map(inspect.getsourcefile, hooks.values()) if source}
        others = sorted(sources - set(files.values()))
        self._added[name] = (
            PluginRecord(
                name=name,
                origin=origin,
                distribution=distribution,
                version=version,
                digest="",
                hooks=tuple(sorted(hooks)),
            ),
            {**files, **{f"{number}/{file.name}": file for number, file in enumerate(others)}},
        )

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """
        Every plugin but the built-in ones, by name, with the digests of their code as it is now.

        A digest is over the whole package that an entry point names (or the ``conftest.py``), the
        files that implementations come from, and the check files. What those import from other
        packages is not in it.

        Raises:
            ConfigurationError: As `check_files`; or a file is gone.
        """
        brought = self.check_files
        return tuple(
            msgspec.structs.replace(
                record,
                digest=_digest({**files, **{f"checks/{one.name}": one for one in brought.get(name, ())}}),
                check_files=tuple(one.name for one in brought.get(name, ())),
            )
            for name, (record, files) in sorted(self._added.items())
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the digests of `records` are over."""
        own = (file for _, files in self._added.values() for file in files.values())
        return (*own, *(file for files in self.check_files.values() for file in files))

    def implementations(self, hook: str) -> list[Implementation]:
        """Who implements a hook, in the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return [
            Implementation(one.plugin_name, hook, one.function, one.argnames)
            for one in reversed(caller.get_hookimpls())
        ]

    @property
    def check_files(self) -> Mapping[str, tuple[Path, ...]]:
        """
        Plugin -> the files of checks that it brings. Each plugin is asked once.

        Raises:
            ConfigurationError: One raised, or what it returned are not check files.
        """
        for implementation in self.implementations("ddbverify_check_files"):
            if implementation.plugin not in self._check_files:
                try:
                    self._check_files[implementation.plugin] = self.ask(
                        implementation,
                        lambda: _check_files(implementation),  # noqa: B023 - called at once
                    )
                except PluginError as error:
                    raise ConfigurationError(error.message, error.hint) from error
        return self._check_files

    def report(self, evidence: bytes, folder: Path) -> list[str]:
        """
        Let every reporter have the document; what went wrong, in words.

        Args:
            evidence: As JSON: each gets a copy of its own.
            folder: Of the run.
        """
        problems = []
        for implementation in self.implementations("ddbverify_report"):
            offered = {"evidence": msgspec.json.decode(evidence), "folder": folder}
            try:
                with redirect_stdout(sys.stderr):
                    self.ask(implementation, lambda: implementation(**offered))  # noqa: B023 - called at once
            except PluginError as error:
                problems.append(error.message)
        return problems

    def vetoes(self, evidence: bytes, folder: Path) -> list[str]:
        """Why plugins want the gate closed, in words; so does one that cannot be asked. As `report`."""
        vetoes = []
        for implementation in self.implementations("ddbverify_gate_veto"):
            offered = {"evidence": msgspec.json.decode(evidence), "folder": folder}
            try:
                with redirect_stdout(sys.stderr):
                    answer = self.ask(implementation, lambda: implementation(**offered))  # noqa: B023
                if answer is not None:
                    vetoes.append(
                        f"The plugin {implementation.plugin} says: {one_line(implementation, answer)}"
                    )
            except PluginError as error:
                vetoes.append(error.message)
        return vetoes


def _two_of(name: str) -> ConfigurationError:
    return ConfigurationError(f"Two plugins have the name {name}.", "give one of them another name.")


class _Manager(pluggy.PluginManager):
    """Takes every function with our prefix for an implementation, marked as one or not."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name in HOOKS and inspect.isroutine(getattr(plugin, name)):
            return {
                "wrapper": False,
                "hookwrapper": False,
                "optionalhook": False,
                "tryfirst": False,
                "trylast": False,
                "specname": None,
            }
        return options


def listed(config: Config, checks: Path) -> list[dict[str, Any]]:
    """
    Everything that could take part, as ``ddbverify plugins --json`` prints it.

    Only what is allowed has been imported; of the others nobody knows the hooks (``None``).

    Raises:
        ConfigurationError: One that is allowed cannot be used; as `Plugins.of` and `entry_points`.
    """
    allowed = {one.name: one for one in Plugins.of(config, checks).records}
    rows = [msgspec.to_builtins(one) | {"allowed": True} for one in allowed.values()]
    for name, entry_point in entry_points().items():
        if name not in allowed:
            of = entry_point.dist
            rows.append(
                {
                    "name": name,
                    "origin": "entry-point",
                    "distribution": of.name if of else "",
                    "version": of.version if of else "",
                    "digest": None,
                    "hooks": None,
                    "check_files": None,
                    "allowed": False,
                }
            )
    return rows


def _conftest_name(config: Config, file: Path) -> str:
    """How a ``conftest.py`` is called in messages and evidence: by its path beside migration.toml."""
    try:
        return file.resolve().relative_to(config.folder.resolve()).as_posix()
    except ValueError:
        return CONFTEST


def one_line(implementation: Implementation, text: object) -> str:
    """
    A text that a plugin wants to have shown.

    Raises:
        PluginError: It is none: a line of at most 200 characters that can be printed.
    """
    if not isinstance(text, str):
        raise implementation.refused(f"gave a {type(text).__name__}, expected a line of text,")
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise implementation.refused(
            f"gave a text of {len(text)} characters, expected one printable line of 1 to 200,"
        )
    return text.strip()


def _check_files(implementation: Implementation) -> tuple[Path, ...]:
    files: dict[str, Path] = {}
    for file in implementation():
        if not isinstance(file, Path) or not _CHECK_FILE.fullmatch(file.name) or not file.is_file():
            given = repr(file.name) if isinstance(file, Path) else f"a {type(file).__name__}"
            raise implementation.refused(f"returned {given}, expected the Path of a file check_*.py,")
        if file.name in files:
            raise implementation.refused(f"returned two files of the name {file.name!r}")
        files[file.name] = file.resolve()
    return tuple(files.values())


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"{name}, a file of a plugin, cannot be read: {error.strerror}.", "install the plugin again."
            ) from error
        digest.update(f"{len(name)}:{name}{len(content)}:".encode() + content)
    return digest.hexdigest()
