"""
References by ARN, compared with the ARN in AWS's answer. Pure.

The credentials decide whose account a request reaches. An ARN in the settings says whose it has to be.
"""

from __future__ import annotations

from dataclasses import dataclass

from ddbverify.errors import ConfigurationError

_PARTS = 6  # arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE


@dataclass(frozen=True, slots=True)
class Arn:
    """An ARN in its parts; `region` and `account` are empty where a service has none."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn | None:
        """The parts of *text*; ``None`` if it is no ARN."""
        parts = text.split(":", _PARTS - 1)
        if len(parts) != _PARTS or parts[0] != "arn" or not parts[1] or not parts[5]:
            return None
        return cls(*parts[1:])

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def require_named(given: str, answered: str | None, *, place: str, same_resource: bool = True) -> None:
    """
    Refuse an answer from AWS about another resource than the reference *given* names.

    A plain name says nothing of account, region and partition, so it passes.

    Args:
        given: As the settings, the command line or the state table name it.
        answered: The ARN in AWS's answer; ``None`` if the answer names no resource.
        place: Where *given* stands, such as ``[[tables]] source``.
        same_resource: Whether the names have to agree, too. False for an alias.

    Raises:
        ConfigurationError: Partition, account, region, service or resource differ, each named.
    """
    wanted = Arn.parse(given)
    if wanted is None:
        return
    found = Arn.parse(answered or "")
    if found is None:
        raise ConfigurationError(
            f"{place} = {given!r}: AWS's answer does not say which resource it is about.",
            "check endpoint_url; an emulator may know plain names only.",
        )
    parts = ["partition", "account", "region", "service", *(["resource"] if same_resource else [])]
    unlike = [
        f"the {part} {getattr(found, part) or 'none'} instead of {getattr(wanted, part) or 'none'}"
        for part in parts
        if getattr(found, part) != getattr(wanted, part)
    ]
    if unlike:
        raise ConfigurationError(
            f"{place} = {given!r}: AWS answered with another resource, {found}: {', '.join(unlike)}.",
            _hint(wanted, found),
        )


def require_stream_of(stream: str | None, table: str, *, place: str) -> None:
    """
    Refuse a stream of another table.

    Args:
        stream: ARN, as AWS answers it or as it was recorded; ``None`` where there is none.
        table: ARN of the table that it has to be of.
        place: Where the stream is named.

    Raises:
        ConfigurationError: As `require_named`.
    """
    if stream is not None:
        require_named(table, stream.partition("/stream/")[0], place=place)


def arn_at(caller: str, *, service: str, region: str, resource: str) -> str:
    """
    The ARN of a resource that is yet to be made, from the credentials that will make it.

    Args:
        caller: ARN of the identity, as STS answers it: partition and account are its own, and never
            those of the other side.
        service: Such as ``dynamodb``.
        region: The client's.
        resource: Such as ``table/orders``.

    Raises:
        ConfigurationError: *caller* is no ARN with an account.
    """
    identity = Arn.parse(caller)
    if identity is None or not identity.account:
        raise ConfigurationError(
            f"AWS's answer does not say whose credentials these are ({caller!r}).",
            "check endpoint_url, `profile` and your AWS login.",
        )
    return str(Arn(identity.partition, service, region, identity.account, resource))


def _hint(wanted: Arn, found: Arn) -> str:
    if (wanted.partition, wanted.account) != (found.partition, found.account):
        return f"use a `profile` with credentials of the account {wanted.account}, or correct the ARN."
    return "correct the ARN, or the region of that side."
