"""Asking AWS, which may refuse: what was not answered is `Unknown`, and no check passes on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ddbverify.errors import EngineError
from ddbverify.tables.aws import translated
from replicator.doctor.findings import Finding, not_checked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """AWS has answered."""

    value: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """
    AWS has not answered.

    Args:
        why: What it said instead.
        hint: What to do to get an answer.
    """

    why: str
    hint: str


Looked = Known[T] | Unknown


def look(action: str, ask: Callable[[], T]) -> Looked[T]:
    """
    Ask, and keep the refusal where there is one.

    Args:
        action: What AWS may refuse, as the words after "AWS refused to".
        ask: Makes the requests; whatever is no refusal of AWS's passes through.
    """
    try:
        with translated(action):
            return Known(ask())
    except EngineError as error:
        return Unknown(error.message, error.hint)


def judged(
    check: str, about: str, looked: Looked[T], judge: Callable[[T], Iterator[Finding]]
) -> Iterator[Finding]:
    """The findings of what was looked at; one that says so where it was not."""
    if isinstance(looked, Unknown):
        yield not_checked(check, about, looked.why, looked.hint)
    else:
        yield from judge(looked.value)
