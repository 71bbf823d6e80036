"""`restore` turns the target's stream on, so that verifications can look at changes; or it says why not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import Pair, Verification
from ddbverify.errors import AccessError
from replicator.commands import restore

PAIR = Pair(source="orders", target="orders-v2")
REKEYED = Pair(source="orders", target="orders-v2", transform="m:f", rekeys=True)


def context(last="changes", flipped=False):
    return SimpleNamespace(
        config=SimpleNamespace(verification=Verification(last=last)),
        whole=SimpleNamespace(get=lambda _: {"flipped": True} if flipped else None),
        target="client",
    )


def plan(pair=PAIR, view="NEW_AND_OLD_IMAGES"):
    return SimpleNamespace(pair=pair, source=SimpleNamespace(stream_view=view))


@pytest.fixture
def turned_on(monkeypatch):
    """Views of the streams that were turned on; a target has none before."""
    made = []

    def turn_on(context, client, name, view):
        made.append((client, name, view))
        return SimpleNamespace(stream_arn="arn:new", stream_view=view)

    monkeypatch.setattr(restore.stream_switch, "turn_on", turn_on)
    monkeypatch.setattr(
        restore.tables, "describe", lambda *_: SimpleNamespace(stream_arn=None, stream_view=None)
    )
    return made


@pytest.mark.parametrize("view", ["NEW_AND_OLD_IMAGES", "KEYS_ONLY", None])
def test_it_is_turned_on_as_the_sources_is(turned_on, view):
    facts = restore._target_stream(context(), plan(view=view), SimpleNamespace(result=""))

    assert turned_on == [("client", "orders-v2", view or "NEW_IMAGE")]
    assert facts == {"stream_arn": "arn:new", "stream_view": view or "NEW_IMAGE"}


def test_one_that_is_on_stays_as_it_is(turned_on, monkeypatch):
    there = SimpleNamespace(stream_arn="arn:old", stream_view="KEYS_ONLY")
    monkeypatch.setattr(restore.tables, "describe", lambda *_: there)

    facts = restore._target_stream(context(), plan(), SimpleNamespace(result=""))

    assert (turned_on, facts) == ([], {"stream_arn": "arn:old", "stream_view": "KEYS_ONLY"})


@pytest.mark.parametrize(
    ("context", "plan"),
    [
        (context(last="full"), plan()),
        (context(), plan(pair=REKEYED)),
        (context(flipped=True), plan()),  # the application's table by now
    ],
)
def test_it_is_left_alone_where_nobody_will_read_it(turned_on, context, plan):
    assert restore._target_stream(context, plan, SimpleNamespace(result="")) == {}
    assert turned_on == []
    assert restore._stream_title(context)(plan) == "orders-v2 needs no stream"


def test_where_it_may_not_be_turned_on_the_step_says_what_that_costs(turned_on, monkeypatch):
    def refuse(*_):
        raise AccessError(
            "AWS refused to turn on the stream of orders-v2: AccessDeniedException", "allow it."
        )

    monkeypatch.setattr(restore.stream_switch, "turn_on", refuse)
    step = SimpleNamespace(result="")

    assert restore._target_stream(context(), plan(), step) == {}
    assert step.result.startswith("it is off, so each verification reads the whole tables: AWS refused")
