"""Documents that are taken only as this version writes them: every name, each once, in order. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ddbverify.evidence.envelope import NotTrusted


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of such a document."""


_Document = TypeVar("_Document", bound=Strict)


def decoded(payload: bytes, kind: type[_Document]) -> _Document:
    """
    The document that the JSON of *payload* is.

    Raises:
        NotTrusted: It is none, or is written in another way than msgspec writes it.
    """
    try:
        found = msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotTrusted(f"it does not follow its schema: {error}") from error
    if msgspec.json.encode(found) != payload:
        raise NotTrusted("it does not follow its schema: a name is missing, there twice, or out of place")
    return found
