"""Reading a stream from earlier places on: nothing that was written is passed over, or it is said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.changes import following
from ddbverify.changes.following import LONGEST_SECONDS, changed_keys, places_at, places_now
from ddbverify.changes.places import ENDED, Place, Places
from ddbverify.changes.shards import Gap
from ddbverify.errors import ThrottledError
from tests.ddbverify.streams import DAY, FakeStream

LAG = 10.0


def places(stream):
    return places_now(stream, stream.server_time())


def changed(stream, before, lag=LAG):
    found = changed_keys(
        stream,
        before,
        lag_seconds=lag,
        server_time=stream.server_time,
        clock=stream.clock,
        sleep=stream.sleep,
    )
    return {key[0] for key in found.keys}, found.places


def test_what_was_written_since_is_found_and_what_is_older_is_not():
    stream = FakeStream()
    stream.write("old", ago=3600)
    before = places(stream)
    stream.write("new")

    assert changed(stream, before)[0] == {"new"}


def test_what_was_written_in_the_seconds_before_counts_as_well():
    """The times of records are approximate."""
    stream = FakeStream()
    stream.write("just before", ago=10)

    assert changed(stream, places(stream))[0] == {"just before"}


def test_the_next_reading_goes_on_where_this_one_ended():
    stream = FakeStream()
    before = places(stream)
    stream.write("first")
    found, middle = changed(stream, before)
    stream.write("second")

    assert found == {"first"}
    assert changed(stream, middle)[0] == {"second"}
    assert changed(stream, Places.of_texts(middle.as_texts()))[0] == {"second"}


def test_what_is_older_is_left_out_on_every_page():
    """An open shard holds hours of records, and a link that looked at all of them would cost a full pass."""
    stream = FakeStream(page_size=3)
    for number in range(20):
        stream.write(f"old-{number}", ago=3600)
    before = places(stream)
    stream.write("new")

    assert changed(stream, before)[0] == {"new"}


def test_an_idle_second_is_no_end():
    """A record may be readable seconds after its write was acknowledged."""
    stream = FakeStream()
    before = places(stream)
    stream.write("late", late=8)

    assert changed(stream, before)[0] == {"late"}
    assert changed(stream, before, lag=1)[0] == {"late"}  # it is readable by now


def test_without_the_wait_a_late_record_is_missed():
    """The fake has lags: what the wait is for is shown by leaving it out."""
    stream = FakeStream()
    before = places(stream)
    stream.write("late", late=8)

    assert changed(stream, before, lag=1)[0] == set()


def test_a_record_that_comes_during_the_wait_prolongs_it():
    stream = FakeStream()
    before = places(stream)
    stream.write("first", late=9)
    stream.write("second", late=17)

    assert changed(stream, before)[0] == {"first", "second"}


def test_a_busy_stream_comes_to_an_end():
    """A record that was written after the reading began proves all before it, in its shard."""
    stream = FakeStream()
    before = places(stream)
    stream.write("wanted", late=5)
    stream.on_request.append(lambda one: one.write(f"busy-{one.requests}", late=5))

    found, after = changed(stream, before)

    assert "wanted" in found
    assert stream.requests < 5000
    stream.on_request.clear()
    assert changed(stream, after)[0]


def test_a_split_is_followed_parents_first():
    stream = FakeStream()
    before = places(stream)
    stream.write("in the parent")
    left, right = stream.split("shard-0")
    stream.write("left", shard=left)
    stream.write("right", shard=right)
    (child,) = stream.split(left, 1)
    stream.write("grandchild", shard=child)

    found, after = changed(stream, before)

    assert found == {"in the parent", "left", "right", "grandchild"}
    assert {name: str(place).split()[0] for name, place in after.shards.items()} == {
        "shard-0": "ended",
        left: "ended",
        right: "after",
        child: "after",
    }


def test_a_shard_that_was_split_before_the_places_were_taken():
    stream = FakeStream()
    stream.write("before", ago=600)
    left, _ = stream.split("shard-0")
    before = places(stream)
    stream.write("new", shard=left)

    assert before.shards["shard-0"] == ENDED
    assert changed(stream, before)[0] == {"new"}


def test_a_child_that_is_listed_late_is_waited_for():
    stream = FakeStream()
    before = places(stream)
    (child,) = stream.split("shard-0", 1, listed_after=12)
    stream.write("in the child", shard=child)

    assert changed(stream, before)[0] == {"in the child"}


def test_a_closed_shard_is_not_ended_by_silence():
    """Its last record is late, and what follows stands in the child."""
    stream = FakeStream()
    before = places(stream)
    stream.write("last of the parent", late=25)
    (child,) = stream.split("shard-0", 1)
    stream.write("first of the child", shard=child)

    assert changed(stream, before)[0] == {"last of the parent", "first of the child"}


def closed_for_good(stream):
    stream.shards_by_id["shard-0"].closed_at = stream.now


def switched_off_and_on(stream):
    stream.stream_arn = stream.stream_arn.replace("2026-01-01", "2026-02-02")


def vanished(stream):
    stream.split("shard-0")
    del stream.shards_by_id["shard-0"]


def another_root(stream):
    stream.shards_by_id["shard-9"] = type(stream.shards_by_id["shard-0"])(None)


def a_day_later(stream):
    stream.now += DAY - 1000


def trimmed(stream):
    stream.write("gone")
    stream.now += DAY + 1


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (closed_for_good, "no other one follows"),
        (switched_off_and_on, "switched off and on"),
        (vanished, "not read to its end"),
        (another_root, "comes of none"),
        (a_day_later, "24 hours"),
        (trimmed, "24 hours"),
    ],
)
def test_what_may_be_gone_is_a_gap(happens, said):
    stream = FakeStream()
    before = places(stream)
    stream.write("read")
    happens(stream)

    with pytest.raises(Gap, match=said):
        changed(stream, before)


def test_a_child_whose_beginning_was_trimmed_without_a_word_is_a_gap():
    """AWS hands out what is left of a shard that is read from its beginning."""
    stream = FakeStream()
    before = places(stream)
    (child,) = stream.split("shard-0", 1)
    stream.write("gone", shard=child)
    stream.now += DAY + 100
    stream.write("left", shard=child)

    with pytest.raises(Gap, match="24 hours"):
        changed(stream, before)


@pytest.mark.parametrize(("minutes", "is_gap"), [(1, False), (5, True)])
def test_what_becomes_too_old_while_it_is_read_is_a_gap(minutes, is_gap):
    """A shard's beginning may be trimmed while the shards before it are read."""
    stream = FakeStream()
    before = places(stream)
    stream.now += LONGEST_SECONDS - 120
    stream.write("met")
    stream.on_request.append(lambda one: passes(one, minutes * 60))

    def passes(one, seconds):
        one.on_request.clear()
        one.now += seconds

    if is_gap:
        with pytest.raises(Gap, match="24 hours"):
            changed(stream, before)
    else:
        assert changed(stream, before)[0] == {"met"}


def test_a_place_at_a_trimmed_record_is_a_gap():
    stream = FakeStream()
    stream.write("known")
    number = str(stream.shards_by_id["shard-0"].records[0].number)
    before = Places(stream.stream_arn, int(stream.now), {"shard-0": Place.after(number)})
    stream.now += DAY + 1

    with pytest.raises(Gap, match="gone"):
        changed(stream, before)


def test_too_many_keys_are_a_gap(monkeypatch):
    monkeypatch.setattr(following, "MOST_KEYS", 10)
    stream = FakeStream()
    before = places(stream)
    for number in range(11):
        stream.write(number)

    with pytest.raises(Gap, match="more than 10 keys"):
        changed(stream, before)


def test_an_iterator_that_has_aged_is_made_anew():
    stream = FakeStream(seconds_per_request=400)
    before = places(stream)
    for number in range(10):
        stream.write(number)

    assert changed(stream, before)[0] == set(range(10))


def test_a_throttled_stream_is_asked_again_and_not_for_ever():
    def refuse(stream):
        if stream.now < until:
            raise ThrottledError("AWS refused to read the stream of a table: too fast", "wait.")

    stream = FakeStream()
    before = places(stream)
    stream.write("new")
    until = stream.now + 20
    stream.on_request.append(refuse)
    with pytest.raises(ThrottledError):
        places(stream)  # nobody waits for that
    stream.on_request.clear()
    listed = stream.shards
    stream.on_request.append(lambda one: refuse(one) if one.requests % 2 else None)
    stream.shards = lambda: (stream.on_request.clear(), listed(), stream.on_request.append(refuse))[1]
    assert changed(stream, before)[0] == {"new"}

    until = stream.now + 100_000
    with pytest.raises(ThrottledError):
        changed(stream, before)


def test_the_child_of_a_shard_that_ended_while_another_one_was_throttled_is_read():
    stream = FakeStream()
    stream.shards_by_id["shard-x"] = type(stream.shards_by_id["shard-0"])(None)
    before = places(stream)
    read = stream.records
    (child,) = stream.split("shard-0", 1, listed_after=5)
    stream.write("in the child", shard=child)
    refused = []

    def records(iterator, since_epoch=0.0):
        if "shard-x" in iterator and not refused:
            refused.append(iterator)
            raise ThrottledError("AWS refused to read the stream of a table: too fast", "wait.")
        return read(iterator, since_epoch)

    stream.records = records
    found, after = changed(stream, before, lag=1)

    assert refused
    assert found == {"in the child"}
    assert after.shards["shard-0"] == ENDED


def test_an_interrupt_does_not_wait_for_hours_of_records():
    stream = FakeStream(page_size=1)
    before = places(stream)
    for number in range(10_000):
        stream.write(number)
    stream.shards_by_id["shard-x"] = type(stream.shards_by_id["shard-0"])(None)
    before.shards["shard-x"] = before.shards["shard-0"]
    read = stream.records

    def records(iterator, since_epoch=0.0):
        if "shard-x" in iterator:
            raise KeyboardInterrupt
        return read(iterator, since_epoch)

    stream.records = records
    with pytest.raises(KeyboardInterrupt):
        changed(stream, before)
    assert stream.requests < 9000


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_write_is_passed_over(data):
    """Any history of writes, lags below the wait, splits and readings: each write is in the next reading."""
    stream = FakeStream(page_size=data.draw(st.integers(1, 4)))
    for number in range(data.draw(st.integers(0, 3))):
        stream.write(f"before-{number}", ago=data.draw(st.floats(100, DAY / 2)))
    if data.draw(st.booleans()):
        stream.split("shard-0", data.draw(st.integers(1, 2)))
    before = places(stream)
    for turn in range(data.draw(st.integers(1, 3))):
        wanted = set()
        for number in range(data.draw(st.integers(0, 6))):
            open_ones = [name for name, one in stream.shards_by_id.items() if one.closed_at is None]
            shard = data.draw(st.sampled_from(open_ones))
            if data.draw(st.integers(0, 3)) == 0:
                stream.split(shard, data.draw(st.integers(1, 2)), listed_after=data.draw(st.floats(0, 20)))
            else:
                key = f"{turn}-{number}"
                stream.write(key, late=data.draw(st.floats(0, LAG - 1)), shard=shard)
                wanted.add(key)
            stream.now += data.draw(st.floats(0, 5))
        found, before = changed(stream, before)
        assert wanted <= found


# --- markers --------------------------------------------------------------------------------------


def marking(*, late=0.0, every=0.5, but=()):
    """Somebody writes a marker to each open shard, again and again; *but*: not to these shards."""
    last = {}

    def write(stream):
        for name, shard in list(stream.shards_by_id.items()):
            due = stream.now - last.get(name, 0.0) >= every
            if shard.closed_at is None and name not in but and due:
                last[name] = stream.now
                stream.write("marker", shard=name, late=late)

    return write


def marked(stream, before, *, lag=0.0):
    return changed_keys(
        stream,
        before,
        lag_seconds=lag,
        server_time=stream.server_time,
        marked=True,
        clock=stream.clock,
        sleep=stream.sleep,
    )


def keys_of(found):
    return {key[0] for key in found.keys}


@pytest.mark.parametrize("late", [0.0, 1.5, 8.0])
def test_a_record_that_is_readable_late_is_met_where_markers_are_written(late):
    """Its write was acknowledged before; without a marker, silence for no time at all would be an end."""
    stream = FakeStream()
    before = places(stream)
    stream.write("late", late=late)
    stream.on_request.append(marking(late=late))

    found = marked(stream, before)
    assert "late" in keys_of(found)
    assert (found.proven, found.assumed) == (1, 0)


def test_without_markers_it_is_missed():
    stream = FakeStream()
    before = places(stream)
    stream.write("late", late=8)

    assert changed(stream, before, lag=0.0)[0] == set()


def test_markers_make_the_wait_shorter_than_the_lag_that_is_assumed_else():
    def took(read):
        stream = FakeStream()
        before, began = places(stream), stream.now
        read(stream, before)
        return stream.now - began

    def with_markers(stream, before):
        stream.on_request.append(marking(late=0.3))
        assert marked(stream, before, lag=LAG).assumed == 0

    assert took(changed) >= LAG
    assert took(with_markers) < 4


def test_an_empty_page_proves_nothing_where_markers_are_written():
    """The first marker comes late: a shard that is silent until then has not ended."""
    stream = FakeStream()
    before = places(stream)
    stream.write("late", late=12)
    began, write = stream.now, marking(late=12.0)
    stream.on_request.append(lambda one: write(one) if one.now - began > 3 else None)

    assert "late" in keys_of(marked(stream, before))


def test_a_split_while_markers_are_written_is_followed_to_its_children():
    stream = FakeStream()
    before = places(stream)
    stream.write("in the parent", late=2)
    children = stream.split("shard-0", listed_after=3.0)
    stream.write("in a child", shard=children[1], late=6.0)
    stream.on_request.append(marking(late=1.0))
    found = marked(stream, before)

    assert {"in the parent", "in a child"} <= keys_of(found)
    assert found.places.shards["shard-0"] == ENDED
    assert (found.proven, found.assumed) == (2, 0)


def test_a_shard_that_shows_no_marker_is_assumed_to_end_and_that_is_said():
    stream = FakeStream()
    left, right = stream.split("shard-0")
    before = places(stream)
    stream.write("late", shard=right, late=8)
    stream.on_request.append(marking(but=(right,)))
    began = stream.now
    found = marked(stream, before, lag=2.0)

    assert "late" in keys_of(found), f"it is waited for beyond the lag: {left} alone shows markers"
    assert (found.proven, found.assumed) == (1, 1)
    assert following.MARKER_PATIENCE_SECONDS <= stream.now - began < following.MARKER_PATIENCE_SECONDS + 15


def test_without_markers_it_is_said_that_ends_are_assumed():
    stream = FakeStream()
    before = places(stream)
    found = changed_keys(
        stream,
        before,
        lag_seconds=LAG,
        server_time=stream.server_time,
        clock=stream.clock,
        sleep=stream.sleep,
    )

    assert (found.proven, found.assumed) == (0, 1)


# --- from the moment of an export on ------------------------------------------------------------


def exported(stream, ago):
    """Places of an export that was made so many seconds ago."""
    return places_at(stream, stream.server_time() - ago, stream.server_time())


def test_all_that_was_written_since_an_export_is_found():
    stream = FakeStream()
    stream.write("old", ago=9000)
    stream.write("before its time, within a minute", ago=7230)
    stream.write("since", ago=7000)
    before = exported(stream, 7200)
    stream.write("now")

    assert before.taken_epoch == int(stream.server_time()) - 7260
    assert changed(stream, before)[0] == {"before its time, within a minute", "since", "now"}


def test_what_lies_in_a_shard_that_was_closed_since_the_export_is_found():
    """Of a pass that begins now a closed shard is done with; of an export it is not."""
    stream = FakeStream()
    stream.write("since", ago=3600)
    stream.split("shard-0")
    stream.now += 600
    before = exported(stream, 7200)

    assert str(before.shards["shard-0"]).startswith("closed since ")
    assert changed(stream, before)[0] == {"since"}
    assert changed(stream, places(stream))[0] == set()


def forgotten(stream, shard):
    """The stream lists a shard no more."""
    del stream.shards_by_id[shard]


@pytest.mark.parametrize("listed_after", [0.0, 5.0])
def test_a_closed_shard_that_is_forgotten_since_held_nothing_of_it(listed_after):
    """It was old when the export was made; without that rule no reading could go on on the next day."""
    stream = FakeStream()
    stream.write("a day before", ago=DAY - 3600)
    stream.split("shard-0", 1, listed_after=listed_after)
    before = exported(stream, 3600)
    stream.now += 2 * 3600
    forgotten(stream, "shard-0")
    stream.write("since", shard="shard-1")
    before = Places.of_texts(before.as_texts())

    assert changed(stream, before)[0] == {"since"}


def test_an_open_shard_that_is_gone_is_a_gap():
    stream = FakeStream()
    before = exported(stream, 3600)
    stream.split("shard-0", 1)
    forgotten(stream, "shard-0")

    with pytest.raises(Gap, match="gone that was not read"):
        changed(stream, before)


@pytest.mark.parametrize(
    ("ago", "arn", "words"),
    [
        (23 * 3600.0, None, "not of the last 23 hours"),
        (-1.0, None, "not of the last 23 hours"),
        (3600.0, "arn:x/stream/{at}", "turned on behind the time"),
        (3600.0, "arn:x/stream/label", "since when"),
        (3600.0, "arn:x", "since when"),
    ],
)
def test_an_export_that_the_stream_does_not_reach_back_to_is_nothing_to_go_on_from(ago, arn, words):
    stream = FakeStream()
    assert exported(stream, 22 * 3600.0)
    if arn is not None:
        at = datetime.fromtimestamp(stream.now - 3660, UTC).replace(tzinfo=None).isoformat()
        stream.stream_arn = arn.format(at=at)

    with pytest.raises(Gap, match=words):
        exported(stream, ago)


def test_a_day_after_the_export_its_places_are_trimmed():
    stream = FakeStream()
    before = exported(stream, 22 * 3600.0)
    stream.now += 3600

    with pytest.raises(Gap, match="the last look is 23 hours old"):
        changed(stream, before)
