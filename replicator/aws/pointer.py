"""
The pointer: the parameters in which an application reads which table is its own.

One parameter holds the target's ARN, or a JSON object of name -> target ARN where there are several pairs;
or each pair has a parameter of its own. What cannot be said is refused by `up`, hours before the flip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ddbverify.config import Cutover, Pair
from ddbverify.errors import AccessError, ConfigurationError, DdbVerifyError, EngineError, NotFoundError
from ddbverify.names import table_name
from ddbverify.tables.aws import translated
from ddbverify.tables.references import require_named
from ddbverify.words import number_of
from replicator.context import references
from replicator.context.context import Context

if TYPE_CHECKING:
    from mypy_boto3_ssm.type_defs import ParameterTypeDef, PutParameterRequestTypeDef

LIMITS: Final = {"standard": 4096, "advanced": 8192}
"""Characters of a parameter's value, by tier.
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"""

_OTHER_FORMS: Final = (
    'set [cutover] pointer_form = "target" (a JSON object of target name -> ARN), or give each pair a '
    'parameter of its own: pointer = "ssm:/path/{target}".'
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """
    Parameters in SSM's Parameter Store, in the source's account and region.

    Args:
        name: As ``[cutover] pointer`` has it, without ``ssm:``; for people.
        values: Parameter -> what it holds once it points at the targets.
    """

    context: Context
    name: str
    values: Mapping[str, str]

    @property
    def value(self) -> str:
        """What it points at, for people and evidence: of several parameters a JSON object."""
        held = list(self.values.values())
        return held[0] if len(held) == 1 else json.dumps(dict(self.values), sort_keys=True)

    def check(self) -> None:
        """
        Find out what would stop the flip behind the fence. A parameter that is not there yet is made by it.

        Raises:
            ConfigurationError: A parameter is of another type, which AWS does not let change; or SSM answers
                with another one than the settings name by ARN.
            EngineError: One cannot be read: a flip that was interrupted could not be decided.
        """
        for name in self.values:
            found = self._read(name)
            if found is not None and found.get("Type", "String") != "String":
                raise ConfigurationError(
                    f"The parameter {name} is a {found['Type']}, and the flip sets a String: AWS does not "
                    "change the type of a parameter.",
                    "name another parameter in [cutover] pointer, or remove this one.",
                )

    def missing(self) -> list[str]:
        """
        The parameters that are not there yet. No application can be reading them.

        Raises:
            EngineError: One cannot be read.
        """
        return [name for name in self.values if self._read(name) is None]

    def rehearse(self) -> list[str]:
        """
        Find out whether we may set each parameter, without setting one: it is not to be overwritten.

        Returns:
            What could not be found out, in words.

        Raises:
            AccessError: We may not.
        """
        unknown = []
        for name in self.values:
            found = self._read(name)
            if found is None:
                unknown.append(f"whether {name} may be set: there is no such parameter yet")
                continue
            try:
                with translated(f"set the parameter {name}"):
                    self.context.source_client("ssm").put_parameter(
                        Name=name, Value=found["Value"], Type="String", Overwrite=False
                    )
            except AccessError:
                raise
            except EngineError as error:
                if "ParameterAlreadyExists" not in error.message:
                    unknown.append(f"whether {name} may be set: {error.message}")
        return unknown

    def flip(self) -> None:
        """Let every parameter point at its target. Interrupted, it is done again from the first."""
        for name, value in self.values.items():
            request: PutParameterRequestTypeDef = {
                "Name": name,
                "Value": value,
                "Type": "String",
                "Overwrite": True,
            }
            if self.context.config.cutover.pointer_tier == "advanced":
                request["Tier"] = "Advanced"
            with translated(f"set the parameter {name}"):
                self.context.source_client("ssm").put_parameter(**request)

    def is_begun(self) -> bool:
        """Whether any parameter points at its target: the application has moved, or a part of it."""
        return any(self._points(name) for name in self.values)

    def strays(self, expected: Mapping[str, str]) -> list[str]:
        """The parameters that do not hold what is *expected* of them, as far as anything is."""
        return [
            name
            for name in self.values
            if name in expected and (self._read(name) or {"Value": None})["Value"] != expected[name]
        ]

    def is_surely_not_begun(self) -> bool:
        """Whether all parameters can be read, and none points at its target."""
        try:
            return not self.is_begun()
        except DdbVerifyError:
            return False

    def _points(self, name: str) -> bool:
        found = self._read(name)
        return found is not None and found["Value"] == self.values[name]

    def _read(self, name: str) -> ParameterTypeDef | None:
        try:
            with translated(f"read the parameter {name}"):
                found = self.context.source_client("ssm").get_parameter(Name=name)["Parameter"]
        except NotFoundError:
            return None
        setting = self.context.config.cutover.pointer or ""
        if references.names_arn(setting):
            given = setting.removeprefix("ssm:").partition(":parameter")[0] + f":parameter{name}"
            require_named(given, found.get("ARN"), place="[cutover] pointer")
        return found


def of(context: Context, targets: Mapping[Pair, str]) -> Pointer | None:
    """
    The pointer that ``[cutover]`` asks for, ``None`` where it asks for none.

    Args:
        targets: Pair -> ARN of its target, of every pair of the migration.

    Raises:
        ConfigurationError: It cannot say which table is whose, or is larger than AWS takes.
    """
    settings = context.config.cutover
    if settings.pointer is None:
        return None
    values = values_of(settings, targets)
    _need_room(settings, values, len(targets))
    return Pointer(context, references.parameter_of(settings.pointer), values)


def values_of(settings: Cutover, targets: Mapping[Pair, str]) -> dict[str, str]:
    """
    Parameter -> what it holds once it points at the targets.

    Raises:
        ConfigurationError: Two pairs would have one name in it.
    """
    path = references.parameter_of(settings.pointer or "")
    if "{" in path:
        names = [path.format(source=_source(pair), target=_target(pair)) for pair in targets]
        _need_distinct(
            names, targets, f"[cutover] pointer = {settings.pointer!r} names one parameter", "target"
        )
        return dict(zip(names, targets.values(), strict=True))
    if settings.pointer_form == "target":
        names = [_target(pair) for pair in targets]
        _need_distinct(names, targets, "The pointer is keyed by target, and holds one table", "source")
    elif len(targets) == 1:
        return {path: next(iter(targets.values()))}
    else:
        names = [_source(pair) for pair in targets]
        _need_distinct(names, targets, "The pointer is keyed by source, and holds one table", "target")
    return {path: json.dumps(dict(zip(names, targets.values(), strict=True)), sort_keys=True)}


def _source(pair: Pair) -> str:
    return table_name(pair.source)


def _target(pair: Pair) -> str:
    return table_name(pair.target)


def _need_distinct(names: Sequence[str], pairs: Iterable[Pair], what: str, by: str) -> None:
    """Refuse names of which one would stand for two pairs: the flip would lose one of them."""
    seen: dict[str, Pair] = {}
    for name, pair in zip(names, pairs, strict=True):
        if name in seen:
            other = _OTHER_FORMS if by == "target" else 'use pointer = "ssm:/path/{source}".'
            raise ConfigurationError(f"{what} for two pairs: {seen[name]} and {pair}.", other)
        seen[name] = pair


def _need_room(settings: Cutover, values: Mapping[str, str], pairs: int) -> None:
    limit = LIMITS[settings.pointer_tier]
    for name, value in values.items():
        if len(value) > limit:
            fits = [tier for tier, most in LIMITS.items() if len(value) <= most]
            raise ConfigurationError(
                f"The pointer {name} would hold {len(value):,} characters for {number_of(pairs, 'pair')}; "
                f"a parameter of the {settings.pointer_tier} tier takes {limit:,}.",
                'give each pair a parameter of its own: pointer = "ssm:/path/{source}" (or {target})'
                + (f'; or set [cutover] pointer_tier = "{fits[0]}", which AWS bills.' if fits else "."),
            )
