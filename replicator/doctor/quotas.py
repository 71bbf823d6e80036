"""
Quotas of the account that the stacks meet: Lambda's concurrency and code, stacks, roles. Pure.

The stacks reserve no concurrency; forwarders and consumers share what nobody has reserved (docs/aws.md T33).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ddbverify.words import number_of, size_in_words
from replicator.doctor.findings import Finding, ok, problem, warning
from replicator.doctor.looking import Looked, judged


@dataclass(frozen=True, slots=True)
class Functions:
    """
    What Lambda says of an account in a region.

    Args:
        concurrent: Executions at once, of all functions.
        unreserved: Of these, what no function has reserved.
        code_bytes: Of all functions' code, what is taken.
        code_limit_bytes: What may be.
    """

    concurrent: int
    unreserved: int
    code_bytes: int
    code_limit_bytes: int


def concurrency(
    place: str, found: Looked[Functions], *, pairs: int, shards: int | None, consumers: int
) -> Iterator[Finding]:
    """
    Whether forwarders and consumers find room beside the account's other functions.

    Args:
        pairs: Of the migration.
        shards: Open ones of all sources' streams, a forwarder each; ``None``: not known.
        consumers: At once, of each pair at most.
    """

    def judge(known: Functions) -> Iterator[Finding]:
        forwarders = pairs if shards is None else max(shards, pairs)
        most = forwarders + pairs * consumers
        who = f"{number_of(forwarders, 'forwarder')}{'' if shards else ' or more'} and up to "
        who += number_of(pairs * consumers, "consumer")
        have = f"{known.unreserved:,} of {known.concurrent:,} concurrent executions are not reserved"
        if known.unreserved < forwarders + pairs:
            yield problem(
                "concurrency",
                place,
                f"{have}; {who} share them with all other functions, and do not all get one",
                "ask for a higher quota of concurrent executions (Service Quotas, Lambda), or let another "
                "function reserve less.",
            )
        elif known.unreserved < most:
            yield warning(
                "concurrency",
                place,
                f"{have}; {who} share them with all other functions: they take turns, and yours are "
                "throttled with them",
                "ask for a higher quota before `restore`, or lower [replication] groups: a consumer works on "
                "a group at a time.",
            )
        else:
            yield ok("concurrency", place, f"{have}, and {who} share them; the stacks reserve none")

    yield from judged("concurrency", place, found, judge)


def code(place: str, found: Looked[Functions], *, functions: int, bundle_bytes: int) -> Iterator[Finding]:
    """Whether the functions' code fits into what Lambda stores for the account."""

    def judge(known: Functions) -> Iterator[Finding]:
        wanted = functions * bundle_bytes
        left = known.code_limit_bytes - known.code_bytes
        says = f"{number_of(functions, 'function')} of {size_in_words(bundle_bytes)}"
        if wanted > left:
            yield problem(
                "code",
                place,
                f"Lambda has {size_in_words(max(0, left))} left for code, and {says} are to be deployed",
                "delete old versions of functions, or ask for a higher quota (Service Quotas, Lambda).",
            )
        else:
            yield ok("code", place, f"the bundle can be built, and loads: {says}")

    yield from judged("code", place, found, judge)


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are of something, and how many there may be."""

    there: int
    most: int


def room(check: str, place: str, found: Looked[Count], *, wanted: int, noun: str) -> Iterator[Finding]:
    """
    Whether so many more can be made.

    Args:
        wanted: That are to be made, at most.
        noun: Such as ``stack``.
    """

    def judge(known: Count) -> Iterator[Finding]:
        says = f"{number_of(known.there, noun)} of {known.most:,} that there may be, and up to {wanted} more"
        if known.there + wanted > known.most:
            yield problem(
                check,
                place,
                f"the account has {says} are to be made",
                f"delete a {noun} that nobody needs, or ask for a higher quota (Service Quotas).",
            )
        else:
            yield ok(check, place, f"the account has {says} fit")

    yield from judged(check, place, found, judge)
