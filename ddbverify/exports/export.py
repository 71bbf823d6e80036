"""An address becomes an `Export`: its manifests are read, and what it is of is known. No item is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ddbverify.config import Side
from ddbverify.errors import AccessError, ConfigurationError, EngineError, Inconclusive, NotFoundError
from ddbverify.exports import manifest
from ddbverify.exports.manifest import CHECKSUMS, FILES, SUMMARY, Manifest
from ddbverify.exports.store import Address, Store, address_of, store_of
from ddbverify.names import KeySchema, region_of, table_name
from ddbverify.tables import aws
from ddbverify.tables.table import Table, describe
from ddbverify.words import instant_in_words

_NOT_ASKED: Final = "whether {} was filtered is not known: nobody could be asked"

KEY_HINT: Final = "give its key with --key, such as --key pk:S,sk:N."


@dataclass(frozen=True, slots=True)
class Increment:
    """An incremental export on top of a full one."""

    address: Address
    store: Store
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A full export, and the incremental ones that carry it on."""

    address: Address
    store: Store
    full: Manifest
    changes: tuple[Increment, ...]  # in their order
    table: Table  # as of the export; its `status` and settings say nothing of the real one
    live: Table | None  # the table that was exported, where it is still there and was asked
    notes: tuple[str, ...]  # what could not be asked or checked, in words

    @property
    def until(self) -> float:
        """The moment whose state it shows, in seconds since the epoch."""
        return max([self.full.until, *(one.manifest.until for one in self.changes)])

    @property
    def lines(self) -> tuple[str, ...]:
        """What evidence says of this side: the full export as JSON, then each incremental one."""
        return tuple(msgspec.json.encode(_as_json(one)).decode() for one in self._manifests)

    @property
    def _manifests(self) -> tuple[Manifest, ...]:
        return (self.full, *(one.manifest for one in self.changes))

    def as_json(self) -> dict[str, Any]:
        """What a summary says of this side."""
        return {
            "full": _as_json(self.full),
            "changes": [_as_json(one.manifest) for one in self.changes],
            "until": self.until,
        }


def open_export(
    address: str,
    changes: Sequence[str],
    side: Side,
    key: KeySchema | None,
    *,
    place: str,
    option: str | None = None,
    is_looked_at: bool = False,
) -> Export:
    """
    Read the manifests of an export, and of the incremental ones on top of it.

    Args:
        address: Of the full export.
        changes: Addresses of the incremental ones, in their order.
        side: How the bucket, and the table if it can be, is reached.
        key: The table's key schema; ``None``: the table is asked.
        place: What the user wrote the address as, for messages.
        option: What the user writes incremental ones as; by default the option of `ddbverify diff`.
        is_looked_at: The table itself is to be looked at, too.

    Raises:
        ConfigurationError: There is no export, or none of the kind asked for; or nobody knows the key.
        Inconclusive: It is not whole, is filtered, or what is on top of it does not follow.
        EngineError: It cannot be read.
    """
    option = option or f"--{place.lower()}-changes"
    at = address_of(address, place=place)
    store, full = _read(at, side, place)
    if full.is_incremental:
        raise ConfigurationError(
            f"{place}: {address} is an incremental export, and holds changes only.",
            f"name the full export, and this one with {option}.",
        )
    is_asked = key is None or is_looked_at or at.bucket is not None  # else nobody has to have credentials

    def known_of(one: Manifest, text: str) -> list[str]:
        asked = _filtered(one, side, text) if is_asked else [_NOT_ASKED.format(text)]
        return asked + [
            f"{name} of {text} has no checksum beside it that could be read" for name in one.unchecked
        ]

    notes = known_of(full, address)
    on_top: list[Increment] = []
    for text in changes:
        its_address = address_of(text, place=option)
        its_store, its = _read(its_address, side, option)
        before = on_top[-1].manifest if on_top else full
        _require_following(before, its, text, option)
        notes += known_of(its, text)
        on_top.append(Increment(its_address, its_store, its))
    described = _described(full, side) if key is None or is_looked_at else None
    if described is None and is_looked_at:
        raise ConfigurationError(
            f"{place}: the table {table_name(full.table_arn)} of the export is not there any more, or cannot "
            "be asked, so --settle live cannot look at it.",
            "leave out --settle live, or use credentials that reach the table.",
        )
    if key is None and described is None:
        raise ConfigurationError(
            f"{place}: the table {table_name(full.table_arn)} of the export cannot be asked for its key.",
            KEY_HINT,
        )
    ttl = described.ttl_attribute if described else None
    if described is None:
        notes.append(f"whether items of the {place.lower()} expire is not known: nobody was asked")
    return Export(
        address=at,
        store=store,
        full=full,
        changes=tuple(on_top),
        table=_table(full, described.key_schema if described else key or {}, ttl),
        live=described,
        notes=tuple(notes),
    )


def _read(at: Address, side: Side, place: str) -> tuple[Store, Manifest]:
    store = store_of(at, side)
    try:
        found = {name: store.small(f"{at.export_id}/{name}") for name in (SUMMARY, FILES)}
    except NotFoundError as error:
        raise ConfigurationError(f"{place}: {error.message}", error.hint) from error
    for name, document in found.items():
        if document is None:
            raise ConfigurationError(
                f"{place}: there is no {name} in {at}.",
                "look at the address; an export gets its manifests when it is finished.",
            )
    documents = {name: document for name, document in found.items() if document is not None}
    checksums = {name: text for name in documents if (text := _checksum(store, at, name)) is not None}
    read = manifest.parse(documents[SUMMARY], documents[FILES], checksums, shown_as=str(at))
    if read.export_id != at.export_id:
        raise ConfigurationError(
            f"{place}: the manifests in {at} are those of the export {read.export_id}.",
            "keep the folder's name when an export is copied.",
        )
    if read.output_format == "ION":
        _need_ion(at, place)
    return store, read


def _need_ion(at: Address, place: str) -> None:
    """Raises ConfigurationError where an export in Ion cannot be read."""
    try:
        from ddbverify.exports import ion  # comes with an extra
    except ImportError:
        usable = False
    else:
        usable = ion.is_usable()
    if not usable:
        raise ConfigurationError(
            f"{place}: the export {at} is in Amazon Ion, and amazon.ion with its parser in C is not here.",
            "install the extra: pip install 'ddbverify[ion]'; or export the table in DynamoDB JSON.",
        )


def _checksum(store: Store, at: Address, name: str) -> bytes | None:
    for ending in CHECKSUMS:
        try:
            text = store.small(f"{at.export_id}/{name.removesuffix('.json')}{ending}")
        except AccessError:  # what S3 says of a file that is not there, to whoever may not list the bucket
            continue
        if text is not None:
            return text
    return None


def _require_following(before: Manifest, its: Manifest, address: str, option: str) -> None:
    if not its.is_incremental or its.since is None:
        raise ConfigurationError(f"{option}: {address} is a full export.", "name incremental exports here.")
    if (its.table_arn, its.table_id) != (before.table_arn, before.table_id):
        raise ConfigurationError(
            f"{option}: {address} is an export of another table.", "look at its address."
        )
    if its.since > before.until or its.until < before.until:
        raise Inconclusive(
            f"The export {address} does not follow the one before it: it holds what was written from "
            f"{instant_in_words(its.since)} to {instant_in_words(its.until)}, and that one ends at "
            f"{instant_in_words(before.until)}.",
            "name the incremental exports in their order, without a gap; they may overlap.",
        )


def _filtered(full: Manifest, side: Side, address: str) -> list[str]:
    """
    Refuse an export that holds some of the items only; what is not known of it, in words.

    The manifests do not say it, DescribeExport does, for 90 days.
    """
    region = region_of(full.table_arn)
    try:
        with aws.translated("describe an export"):
            client = aws.client(side, "dynamodb", region=region)
            said: Mapping[str, Any] = client.describe_export(ExportArn=full.export_arn)["ExportDescription"]
    except (EngineError, KeyError):
        return [_NOT_ASKED.format(address)]
    if said.get("FilterSpecification"):
        raise Inconclusive(
            f"The export {address} was filtered: it does not hold all of its table.",
            "make an export without a filter.",
        )
    if said.get("ExportStatus") not in (None, "COMPLETED"):
        raise Inconclusive(
            f"The export {address} is {said['ExportStatus']}.", "wait for its end, or make another one."
        )
    return []


def _described(full: Manifest, side: Side) -> Table | None:
    """The table that was exported, if it is there and can be asked."""
    try:
        table = describe(side, full.table_arn)
    except EngineError:
        return None
    return table if not table.id or table.id == full.table_id else None


def _table(full: Manifest, key: KeySchema, ttl: str | None) -> Table:
    name = table_name(full.table_arn)
    return Table(
        arn=full.table_arn,
        name=name,
        reference=full.table_arn,
        region=full.table_arn.split(":")[3],
        account=full.table_arn.split(":")[4],
        id=full.table_id,
        created_epoch=full.until,
        status="ACTIVE",
        key_schema=dict(key),
        ttl_attribute=ttl,
        item_count=full.items,
        size_bytes=full.size_bytes,
        billing_mode="PAY_PER_REQUEST",
        indexes=frozenset(),
        stream_arn=None,
        stream_view=None,
        raw={},
    )


def _as_json(one: Manifest) -> dict[str, Any]:
    return {
        "export_arn": one.export_arn,
        "table_arn": one.table_arn,
        "table_id": one.table_id,
        "since": one.since,
        "until": one.until,
        "format": one.output_format,
        "parts": len(one.parts),
        "items": one.items,
        "manifests": dict(one.digests),
    }
