"""Stacks and the state table that are there already under this migration's names. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replicator.doctor.findings import Finding, ok, problem, warning
from replicator.doctor.looking import Looked, Unknown, judged
from replicator.stack.stacks import NEVER_MADE


@dataclass(frozen=True, slots=True)
class Seen:
    """
    A stack that is there.

    Args:
        status: As CloudFormation has it.
        migration: What its tag says it belongs to; ``None``: it has no such tag.
        is_protected: Whether its termination protection is on.
        version: Of its template, as its output says; ``None``: it says none.
        wanted: The version of this build's.
    """

    status: str
    migration: str | None
    is_protected: bool
    version: str | None
    wanted: str


Stack = tuple[str, Looked[Seen | None]]
"""A stack's name, and what is there of it."""


def leftovers(
    migration: str, stacks: Sequence[Stack], state_table: str, has_state: Looked[bool]
) -> Iterator[Finding]:
    """
    What `up` would meet of an earlier attempt, of another build or of somebody else.

    Args:
        migration: Its name.
        stacks: All that it will have, the one of the whole migration first.
        state_table: Its name.
        has_state: Whether it is there.
    """
    found = []
    for name, looked in stacks:
        if isinstance(looked, Unknown):
            yield from judged("stacks", name, looked, lambda _: iter(()))
        elif looked.value is not None:
            found.append(name)
            yield from _stack(migration, name, looked.value)
    yield from judged(
        "stacks",
        state_table,
        has_state,
        lambda there: _state(state_table, stacks[0], there=there),
    )
    if not found and not any(isinstance(looked, Unknown) for _, looked in stacks):
        yield ok("stacks", migration, f"none of its {len(stacks)} stacks is there yet")


def _stack(migration: str, name: str, seen: Seen) -> Iterator[Finding]:
    if seen.migration != migration:
        whose = "has no tag `replicator:migration`" if seen.migration is None else f"is of {seen.migration!r}"
        yield problem(
            "stacks",
            name,
            f"a stack of this name is there, and {whose}: `up` would change it",
            "choose another `name` in migration.toml, or find out whose it is.",
        )
        return
    if seen.status in NEVER_MADE:
        yield warning(
            "stacks",
            name,
            f"an earlier attempt left it in {seen.status}",
            "read its events in CloudFormation for the reason; `up` removes it and makes it anew.",
        )
    elif seen.status.endswith("_FAILED"):
        yield problem(
            "stacks",
            name,
            f"it is in {seen.status}: CloudFormation takes no change of it",
            "roll it back or continue its rollback in CloudFormation, then look again.",
        )
    elif seen.status.endswith("_IN_PROGRESS"):
        yield warning(
            "stacks",
            name,
            f"it is in {seen.status}: somebody is at work on it",
            "find out who; `up` waits for it.",
        )
    else:
        yield _template(name, seen)
    if seen.is_protected:
        yield warning(
            "protection",
            name,
            "its termination protection is on: `down` would refuse, and leave everything",
            "find out who protects it; aws cloudformation update-termination-protection "
            f"--no-enable-termination-protection --stack-name {name}",
        )


def _template(name: str, seen: Seen) -> Finding:
    if seen.version == seen.wanted:
        return ok("stacks", name, "it is there, deployed from this build's template: `up` goes on with it")
    said = "an unknown version" if seen.version is None else f"version {seen.version}"
    return warning(
        "stacks",
        name,
        f"it was deployed by another build of replicator, from {said} of its template: `up` brings it to "
        f"version {seen.wanted}",
        "finish the migration with the build that began it, or read CHANGELOG.md for what has changed.",
    )


def _state(state_table: str, base: Stack, *, there: bool) -> Iterator[Finding]:
    name, looked = base
    if isinstance(looked, Unknown):
        return  # told already
    if there and looked.value is None:
        yield problem(
            "stacks",
            state_table,
            f"the state table is there, and the stack {name} is not: CloudFormation cannot make it again",
            "run `replicator down` if that migration has ended; else choose another `name`.",
        )
    elif not there and looked.value is not None and looked.value.status not in NEVER_MADE:
        yield problem(
            "stacks",
            state_table,
            f"the stack {name} is there, and its state table is not: somebody has removed it",
            f"delete the stacks of this migration, or choose another `name`. Stack: {name}.",
        )
