"""Who still writes to the source behind the flip is named, and a stream that cannot be read is said."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import EngineError, Refused
from ddbverify.items.transform import key_hash
from ddbverify.names import Fact, canary_key, marker_key
from replicator.audits import behind_flip
from replicator.aws import stream
from replicator.aws.stream import StreamReader
from replicator.commands import after_flip, audit, quarantine
from replicator.commands.cutover import CUTOVER
from replicator.commands.status import _rows, of_pair
from replicator.context.console import Console
from replicator.handlers.state import State
from tests.replicator.fakes import ARN, KEYS, STATE, FakeDynamoDB, Rooted, refusal
from tests.replicator.stream_harness import Streams

HOUR = 3600
FLIP = 1_800_000_000
BY_TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """A migration that was cut over; its last audit has read everything that was written before."""
    config = parse('[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n', tmp_path)
    database, streams = FakeDynamoDB(), Streams(2)
    state = State.of_pair(database, STATE, config.tables[0].id)
    whole = State.whole(database, STATE)
    streams.now = float(FLIP - HOUR)
    made = Rooted(
        config=config,
        pair=config.tables[0],
        console=Console(as_json=True),
        now=float(FLIP),
        streams=streams,
        whole=whole,
        pace=SimpleNamespace(young_seconds=60.0),
        need_begun=lambda: None,
        need_no_restart=lambda: None,
        state=lambda pair: state,
        resources=lambda pair: {"stream_arn": ARN, "ledger_table": "ledger"},
        stream_arn=ARN,
        source_table=lambda pair: SimpleNamespace(
            arn=ARN.partition("/stream/")[0], keys=KEYS, stream_arn=made.stream_arn
        ),
        source_client=lambda service: streams,
        server_time=lambda: made.now,
        table=lambda: state,
    )
    for slot in (0, 12):
        write(made, f"before {slot}", slot)
    write(made, "~", 3, keys=canary_key(KEYS))
    reader = StreamReader(streams, ARN)
    reader.skip(float(FLIP))
    state.put(stream.PLACES, places=reader.places, at_epoch=FLIP, audited_epoch=FLIP, lost=0)
    whole.put(CUTOVER, flipped=True, steps={"flip": "now"})
    streams.now = float(FLIP)
    return made


def write(moved, key, slot=0, *, keys=None, event="MODIFY", **more):
    keys = keys or {"id": {"S": key}}
    image = None if event == "REMOVE" else keys
    return moved.streams.append(slot, event, keys, image, **more)


def hashed(key):
    return key_hash({"id": {"S": key}}, KEYS)


def pass_(moved, hours):
    moved.now += hours * HOUR
    moved.streams.now = moved.now
    moved.streams.trim()


def audited(moved):
    """What an audit says, as the error that it ends with; empty where it finds nothing."""
    try:
        audit.audit(moved)
    except Refused as error:
        return error.message
    return ""


def known(moved):
    return after_flip.known(moved.state(moved.pair), moved.now)


def test_a_source_that_nobody_writes_to_is_quiet(moved):
    assert audited(moved) == ""
    assert known(moved) == after_flip.Watched()


def test_a_write_behind_the_flip_is_named_by_its_hash(moved, capsys):
    write(moved, "secret", 12)

    said = audited(moved)
    assert "1 key written to the source of orders -> orders-v2 behind the flip" in said
    told = capsys.readouterr().err
    assert f"{hashed('secret')}  written at 2027-01-15T08:00:00.000Z" in told
    assert "secret" not in told + said
    assert list(known(moved).found) == [hashed("secret")]


def test_time_to_live_and_the_canary_are_no_writers(moved):
    write(moved, "old", event="REMOVE", userIdentity=BY_TTL)
    write(moved, "~", 3, keys=canary_key(KEYS))
    write(moved, "~", 3, keys=canary_key(KEYS), event="REMOVE")
    write(moved, "~", 4, keys=marker_key(KEYS, 7))
    write(moved, "~", 5, keys=marker_key(KEYS, 7), event="REMOVE")

    assert audited(moved) == ""
    assert known(moved).found == {}


def test_what_was_written_between_the_last_audit_and_the_flip_is_late_too(moved):
    """It reached the stream behind the drain: no consumer and no verification can have seen it."""
    write(moved, "a", created=FLIP - 5)

    assert "1 key" in audited(moved)


def test_a_write_of_a_shard_that_was_split_since_is_found(moved):
    child, _ = moved.streams.split(moved.streams.serving(0).shard_id)
    write(moved, "a", 0)
    moved.streams.roll_over(child)
    write(moved, "b", 0)

    assert "2 keys" in audited(moved)


def test_it_stays_named_though_the_stream_forgets_it(moved):
    write(moved, "a")
    assert "1 key" in audited(moved)
    for _ in range(5):
        pass_(moved, 12)
        assert "1 key" in audited(moved)
        assert "not known" not in audited(moved)
    write(moved, "b", 12)
    assert "2 keys" in audited(moved)


def test_of_a_key_that_is_written_again_the_newest_is_kept(moved):
    write(moved, "a")
    audited(moved)
    pass_(moved, 1)
    write(moved, "a")
    audited(moved)

    (one,) = known(moved).found.values()
    assert one.at == "2027-01-15T09:00:00.000Z"
    assert one.key == {"id": {"S": "a"}}


def test_many_are_noted_in_parts(moved, monkeypatch):
    monkeypatch.setattr(behind_flip, "_CHUNK", 3)
    for number in range(10):
        write(moved, f"k{number}", number)

    assert "10 keys" in audited(moved)


def test_what_cannot_be_noted_is_read_again(moved, monkeypatch):
    write(moved, "a")
    note = behind_flip.late.note

    def refused(*_):
        raise refusal("ThrottlingException")

    monkeypatch.setattr(behind_flip.late, "note", refused)
    assert "not known" in audited(moved)
    monkeypatch.setattr(behind_flip.late, "note", note)
    assert "1 key" in audited(moved)


# --- a stream that cannot be read ---------------------------------------------------------------


@pytest.mark.parametrize("stream_arn", [None, "another"])
def test_a_stream_that_was_turned_off_is_said_and_what_is_left_of_it_is_read(moved, stream_arn):
    write(moved, "a")
    moved.stream_arn = stream_arn

    said = audited(moved)
    assert "1 key" in said
    assert "is not known, since its stream cannot be read whole: it was turned off, or off and on" in said


def test_one_that_was_not_read_for_a_day_stays_unknown_and_what_comes_is_named(moved):
    pass_(moved, 25)

    assert "not read for more than 24 hours" in after_flip.problem_of(moved.pair, known(moved))
    assert "not read for more than 24 hours" in audited(moved)
    pass_(moved, 1)
    write(moved, "a")
    said = audited(moved)
    assert "1 key" in said
    assert "not known" in said


def test_one_that_is_read_twice_a_day_is_known(moved):
    for _ in range(10):
        pass_(moved, 12)
        assert audited(moved) == ""


def test_a_refused_read_is_said_and_no_place_moves(moved, monkeypatch):
    write(moved, "a")

    def refused(**_):
        raise refusal("AccessDeniedException")

    with monkeypatch.context() as patch:
        patch.setattr(moved.streams, "describe_stream", refused)
        assert "AccessDenied" in audited(moved)
    assert known(moved).unread, "status says it, too"
    assert "1 key" in audited(moved)
    assert known(moved).unread == ""


def test_a_record_that_is_not_understood_is_said(moved):
    write(moved, "a")
    write(moved, "b", event="RENAMED")

    said = audited(moved)
    assert "1 key" in said
    assert "eventName" in said


def test_without_a_place_nothing_is_known_and_nothing_of_before_is_called_late(moved):
    moved.state(moved.pair).delete(stream.PLACES)

    said = audited(moved)
    assert "no audit has noted how far it was read" in said
    assert known(moved).found == {}


def test_a_source_that_is_gone_is_said(moved):
    def gone(pair):
        raise EngineError("there is no such table", "x")

    moved.source_table = gone
    assert "there is no such table" in audited(moved)


def test_of_several_pairs_each_is_looked_at_before_one_is_told(moved, monkeypatch):
    seen = []
    moved.config = SimpleNamespace(tables=["a", "b"])
    found = {"a": after_flip.Watched(unread="it is gone"), "b": after_flip.Watched()}
    monkeypatch.setattr(audit.newest_run, "note", lambda _: None)
    monkeypatch.setattr(audit.notices, "of", lambda *_: audit.notices.SILENT)
    monkeypatch.setattr(after_flip, "look", lambda _, pair, *, by: seen.append(pair) or found[pair])

    assert "it is gone" in audited(moved)
    assert seen == ["a", "b"]


# --- who shows it -------------------------------------------------------------------------------


def test_the_quarantines_list_has_them_with_raw_keys_only_when_asked_for(moved, monkeypatch, capsys):
    monkeypatch.setattr(quarantine, "dead_letters", lambda *_: 0)
    write(moved, "secret")
    audited(moved)
    capsys.readouterr()

    answer = quarantine.listed(moved)
    told = capsys.readouterr().err
    assert f"{hashed('secret')}  written at" in told
    assert "--keys shows" in told
    assert "secret" not in told + json.dumps(answer)
    (pair,) = answer["pairs"].values()
    assert pair["late_writes"] == [{"key_hash": hashed("secret"), "written_at": "2027-01-15T08:00:00.000Z"}]

    answer = quarantine.listed(moved, keys=True)
    assert "id = secret" in capsys.readouterr().err
    (pair,) = answer["pairs"].values()
    assert pair["late_writes"][0]["key"] == {"id": {"S": "secret"}}


def test_status_names_some_and_counts_the_rest(moved):
    for number in range(8):
        write(moved, f"secret {number}", number)
    audited(moved)
    moved.resources = lambda pair: {}
    moved.restart_number = lambda pair: 0

    facts = of_pair(moved, moved.pair, flipped=True)
    assert facts["behind_flip"]["late_writes"].keys() == {hashed(f"secret {number}") for number in range(8)}
    shown = dict(_rows({**facts, "write_units_ceiling": None}))["  late writes"]
    assert shown.count("written at") == 5
    assert "and 3 more" in shown
    assert "secret" not in shown
    assert "behind_flip" not in of_pair(moved, moved.pair, flipped=False)


def test_status_says_what_could_not_be_read(moved):
    moved.stream_arn = None
    audited(moved)
    moved.resources = lambda pair: {}
    moved.restart_number = lambda pair: 0

    rows = dict(_rows(of_pair(moved, moved.pair, flipped=True)))
    assert rows["  late writes"] == "none known"
    assert "turned off" in rows["  its stream"]


def test_the_forwarders_know_of_the_flip_from_its_first_moment_on(moved):
    after_flip.begin(moved)
    at = moved.state(moved.pair).get(Fact.MOVED)["at"]
    after_flip.begin(moved)

    assert moved.state(moved.pair).get(Fact.MOVED)["at"] == at


def test_a_cutover_that_was_killed_right_behind_its_flip_is_said_and_the_audit_begins(moved):
    """The forwarder asks for that note; without it nothing was counted, and the alarm stayed silent."""
    said = after_flip.problem_of(moved.pair, known(moved))
    assert "is not known" in said
    assert "replicator audit" in said

    assert audited(moved) == ""
    assert moved.state(moved.pair).get(Fact.MOVED) is not None
    assert known(moved) == after_flip.Watched()
