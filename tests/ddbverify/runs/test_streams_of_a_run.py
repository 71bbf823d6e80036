"""What a run makes of the streams before its checks begin, without an engine."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from decimal import Decimal
from types import SimpleNamespace

import pytest

from ddbverify.changes.following import Changed
from ddbverify.changes.places import Place, Places
from ddbverify.changes.shards import Gap, Shard
from ddbverify.changes.wire import Records
from ddbverify.config import load
from ddbverify.errors import ConfigurationError, EngineError, Inconclusive
from ddbverify.evidence.links import PairPlaces
from ddbverify.evidence.record import ComparisonRecord, Fact, PairRecord, Record
from ddbverify.items.keys import marker_keys
from ddbverify.runs import run as runs
from ddbverify.runs import since
from ddbverify.runs.since import Predecessor, Streams, require_believable
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence
from tests.ddbverify.streams import FakeStream

TWO_PAIRS = (
    projects.TOML
    + """
[[tables]]
source = "customers"
target = "customers-v2"
"""
)
SCHEMA = {"id": "S", "at": "N"}
PLACES = PairPlaces(Places("arn:a", 100, {}), Places("arn:b", 100, {}), "source: off; target: off")
KEYS = frozenset({("secret", Decimal(7))})


def test_on_aws_a_stream_is_not_taken_to_be_read_after_a_moment(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="a record may be readable later"):
        require_believable(4.9)
    require_believable(5.0)

    file = projects.runnable(tmp_path, monkeypatch, toml=projects.TOML + '[cutover]\nstream_lag = "1s"\n')
    with pytest.raises(ConfigurationError, match="a record may be readable later"):
        runs.run(file, since="latest")
    assert not (tmp_path / ".ddbverify" / "runs").exists()


def both(keys, *, source=None, assumed=0):
    """What both streams of a pair have given: the keys that the source's did."""
    return (
        Changed(keys, source or PLACES.source, proven=2, assumed=0),
        Changed(frozenset(), PLACES.target, proven=1, assumed=assumed),
    )


@dataclass
class Pass:
    """Streams of two pairs that are read in no time."""

    monkeypatch: object
    folder: object
    told: list

    def __post_init__(self):
        self.config = load(projects.make_project(self.folder, toml=TWO_PAIRS))
        self.out = self.folder / "out"
        self.out.mkdir()
        self.found = [both(KEYS), both(KEYS)]
        reading = since._Reading(PLACES, (None, None), (None, None), PLACES.ttl, SCHEMA)
        self.monkeypatch.setattr(since._Reading, "of", lambda *_: reading)
        self.monkeypatch.setattr(since, "_read", lambda *_, marked: iter(self.found))
        self.monkeypatch.setattr(since, "_base", lambda *_: iter(()))

    def look(self, empty=(), marked=False):
        before = Predecessor(good_evidence(self.config), "0" * 64, frozenset(empty))
        return since.look(self.config, self.out, before, lag_seconds=1.0, marked=marked, say=self.told.append)

    @property
    def files(self):
        return sorted(self.out.iterdir())


@pytest.fixture
def streams(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    return Pass(monkeypatch, tmp_path, [])


def test_no_keys_are_left_where_the_second_pair_has_a_gap(streams):
    another = replace(PLACES.source, stream_arn=PLACES.source.stream_arn + "1")
    streams.found[1] = both(KEYS, source=another)

    assert streams.look().changed is None
    assert streams.files == []
    assert "the stream of the source is another one" in streams.told[-1]


@pytest.mark.parametrize("ends", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_no_keys_are_left_by_a_full_disk_or_ctrl_c(streams, monkeypatch, ends):
    write = since._write

    def half(path, keys, schema):
        write(path, keys, schema)
        raise ends

    monkeypatch.setattr(since, "_write", half)
    with pytest.raises(type(ends)):
        streams.look()
    assert streams.files == []


def test_keys_that_are_looked_at_are_there_until_they_are_forgotten(streams):
    found = streams.look()
    assert len(streams.files) == 2
    found.forget(streams.config)
    assert streams.files == []


def test_tables_that_were_empty_are_read_once_there_is_an_item(streams):
    """A check that notices nothing has passed its controls, since there was nothing to alter."""
    streams.found[1] = both(frozenset())
    orders, customers = (pair.id for pair in streams.config.tables)

    assert streams.look(empty=[customers]).changed is not None
    assert streams.look(empty=[orders]).changed is None
    assert "were empty" in streams.told[-1]


def test_markers_are_no_keys_to_look_at(streams):
    """Whoever has written them is not asked: by their keys they are known."""
    streams.found[0] = both(KEYS | set(list(marker_keys(SCHEMA))[:3]))

    facts = streams.look().facts
    assert [fact.value for fact in facts if fact.name == "changed"] == [len(KEYS), len(KEYS)]


def test_how_the_ends_are_known_is_in_the_evidence(streams):
    streams.found[1] = both(KEYS, assumed=2)
    facts = streams.look(marked=True).facts

    assert [(fact.name, fact.value) for fact in facts if fact.name.startswith("ends-")] == [
        ("ends-proven", 3),
        ("ends-assumed", 0),
        ("ends-proven", 3),
        ("ends-assumed", 2),
    ]
    (said,) = (line for line in streams.told if "assumed" in line)
    assert "of 2 open shards the end is assumed, since no record came ([cutover] stream_lag is 1 s)" in said


def test_other_keys_than_were_handed_out_are_no_link():
    """What a conftest.py does to the file of keys is seen by the parent."""
    counts = {"matched": 2, "excluded": 1}
    read = replace(projects.comparison("p", counts=counts), of_changes=True)
    recorded = Record(pairs={"p": PairRecord(id="p", comparison=ComparisonRecord.of(read))})

    def unlooked(number, folder="here"):
        facts = (Fact(name="since", about="", value="0"), Fact(name="changed", about="p", value=number))
        return list(Streams(facts, folder).unlooked(recorded))

    assert unlooked(3) == []
    assert unlooked(4) == ["of p 4 keys had been written, and 3 were looked at"]
    assert unlooked(4, None) == []


class Waiting:
    """A stream in which nothing is written: its end is known after a second."""

    def __init__(self, arn, at_once):
        self.stream_arn, self.at_once = arn, at_once

    def shards(self):
        self.at_once.wait(timeout=10)  # until every stream of every pair is being read
        return []


def test_the_streams_of_all_pairs_are_waited_for_together():
    """Under a fence ten seconds for each of 40 streams would be more than six minutes."""
    at_once = threading.Barrier(8)
    readings = [
        since._Reading(
            PLACES, (Waiting("arn:a", at_once), Waiting("arn:b", at_once)), (lambda: 100.0,) * 2, "", SCHEMA
        )
        for _ in range(4)
    ]

    found = list(since._read(readings, 1.0, marked=False))

    assert [one.keys | other.keys for one, other in found] == [frozenset()] * 4


def test_the_first_gap_ends_the_reading_of_all_streams_and_is_the_one_that_is_told():
    class Silent(Waiting):
        def shards(self):
            return [shard]

        def iterator(self, *_):
            return "i"

        def records(self, *_):
            return nothing

    nothing = Records(keys=(), last_number="", last_epoch=0.0, iterator="i")
    shard = Shard("s", None, is_closed=False)
    readings = [
        since._Reading(
            replace(PLACES, source=Places("arn:a", 100, {"s": Place.since(7)})),
            (Silent("arn:a", None), Waiting("arn:another", threading.Event())),
            (lambda: 100.0,) * 2,
            "",
            SCHEMA,
        )
    ]
    with pytest.raises(Gap, match="switched off and on"):
        list(since._read(readings, 3600.0, marked=False))


# --- a base that is read from exports -----------------------------------------------------------


EXPORTED = projects.TOML.replace('target = "', 'source_export = "s3://b/AWSDynamoDB/0-1"\ntarget = "', 1)


class OfExports:
    """A pair whose source is read from an export of an hour ago; each test spoils one thing."""

    def __init__(self, folder, monkeypatch):
        self.config = load(projects.make_project(folder, toml=EXPORTED))
        self.streams = {"source": FakeStream(), "target": FakeStream()}
        self.now = self.streams["source"].server_time()
        self.notes, self.table_id, self.ago, self.error = (), "id", 3600.0, None
        monkeypatch.setattr(
            since.tables,
            "describe",
            lambda side, name: SimpleNamespace(
                arn=f"arn:{name}", id="id", ttl_attribute=None, stream_arn="arn", key_schema=SCHEMA
            ),
        )
        monkeypatch.setattr(since.tables, "server_time", lambda *_: self.now)
        monkeypatch.setattr(since, "_stream", lambda side, table, role: self.streams[role])
        monkeypatch.setattr(since, "open_export", self.opened)

    def opened(self, address, changes, side, key, **options):
        assert address == "s3://b/AWSDynamoDB/0-1"
        assert options["is_looked_at"], "the table has to be there, and whether it was filtered is asked"
        if self.error is not None:
            raise self.error
        (pair,) = self.config.tables
        full = SimpleNamespace(table_arn=f"arn:{pair.source}", table_id=self.table_id)
        return SimpleNamespace(notes=self.notes, full=full, until=self.now - self.ago)

    def facts(self):
        return {fact.name: fact.value for fact in since._base(self.config, self.config.tables[0])}


@pytest.fixture
def exported(tmp_path, monkeypatch):
    return OfExports(tmp_path, monkeypatch)


def test_a_side_that_is_read_from_an_export_has_its_places_as_of_that(exported):
    facts = exported.facts()

    source, target = (Places.of_texts(facts[f"{role}-places"]) for role in ("source", "target"))
    assert source.taken_epoch == exported.now - 3660
    assert target.taken_epoch == exported.now


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"notes": ("whether x was filtered is not known",)}, "from an export, and whether x was filtered"),
        ({"table_id": "another"}, "an export of another table"),
        ({"ago": 24 * 3600.0}, "not of the last 23 hours"),
        ({"error": Inconclusive("The export is not whole.", "x")}, "The export is not whole"),
        ({"error": ConfigurationError("There is none.", "x")}, "There is none"),
        ({"error": EngineError("AWS refused.", "x")}, "AWS refused"),
    ],
)
def test_of_an_export_that_will_not_do_there_are_no_places(exported, spoilt, words):
    for name, value in spoilt.items():
        setattr(exported, name, value)

    assert words in exported.facts()["no-places"]
