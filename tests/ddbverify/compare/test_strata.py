"""Keys beside a sample: all of them are looked up, and nothing of them is in the sample's bound."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from ddbverify.compare import strata
from ddbverify.compare.comparison import Stratum
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.config import Duration, Verification
from ddbverify.diff.result import verdict_of
from ddbverify.errors import ConfigurationError
from ddbverify.items.states import State
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, item, make_judge, on

SEGMENTS = 20
CONTENT = [item(f"k{number}", v="x") for number in range(200)]


def sampled(source, target, lists, *, drawn=(3,), told=None, judge=None):
    clock = Clock()
    return Pass(
        "pair",
        source,
        target,
        judge or make_judge(),
        Plan(SEGMENTS, drawn, 7),
        Verification(settle=Duration(1.0)),
        running=on(clock),
        request=PassRequest(strata={name: [(key,) for key in keys] for name, keys in lists.items()}),
        listeners=Listeners(found=None if told is None else told.append),
    ).run()


def segment_of(key):
    return FakeTable.hashed((key,)) % SEGMENTS


INSIDE = [one["id"]["S"] for one in CONTENT if segment_of(one["id"]["S"]) == 3]
OUTSIDE = [one["id"]["S"] for one in CONTENT if segment_of(one["id"]["S"]) != 3]


def test_a_stratum_is_counted_apart_and_the_bound_is_the_samples_own():
    target = FakeTable(CONTENT)
    lost, changed, here = OUTSIDE[0], OUTSIDE[1], INSIDE[0]
    target.delete((lost,))
    target.put(item(changed, v="y"))
    target.put(item("ghost", v="x"))
    told = []
    comparison = sampled(
        FakeTable(CONTENT), target, {"newest": [lost, changed, OUTSIDE[2], here, "ghost", "never"]}, told=told
    )
    (stratum,) = comparison.strata
    assert (stratum.name, stratum.keys, stratum.in_neither, stratum.listed) == ("newest", 6, 1, 3)
    assert {state: count for state, count in stratum.counts.items() if count} == {
        State.MATCHED: 3,
        State.MISSING: 1,
        State.DIFFERENT: 1,
        State.EXTRANEOUS: 1,
    }
    assert {(str(one.state), one.key["id"]["S"]) for one in told} == {
        ("missing", lost),
        ("different", changed),
        ("extraneous", "ghost"),
    }
    # The sample knows nothing of it.
    assert comparison.counts[State.MATCHED] == len(INSIDE) == comparison.source.scanned
    alone = sampled(FakeTable(CONTENT), FakeTable(CONTENT), {})
    assert comparison.notes[-2:-1] == alone.notes[-1:]
    assert "at most" in alone.notes[-1]
    assert comparison.notes[-1].startswith("outside the bound, newest: 6 keys, ")
    assert verdict_of(comparison)[0] == "different"


def test_a_key_of_the_sample_that_is_in_a_stratum_too_is_reported_once():
    target = FakeTable(CONTENT)
    target.delete((INSIDE[0],))
    told = []
    comparison = sampled(FakeTable(CONTENT), target, {"a": INSIDE[:1], "b": INSIDE[:2]}, told=told)
    assert [(one.state, one.key["id"]["S"]) for one in told] == [(State.MISSING, INSIDE[0])]
    assert [one.counts[State.MISSING] for one in comparison.strata] == [1, 1]
    assert [one.listed for one in comparison.strata] == [0, 0]


def test_what_could_not_be_read_again_is_a_reason():
    source = FakeTable(CONTENT)
    source.unreadable = {(OUTSIDE[0],)}
    comparison = sampled(source, FakeTable(CONTENT), {"newest": OUTSIDE[:2]})
    verdict, reasons = verdict_of(comparison)
    assert verdict == "inconclusive"
    assert "1 key of newest were not decided" in reasons


def test_what_a_transform_drops_is_excluded():
    comparison = sampled(
        FakeTable(CONTENT), FakeTable(), {"newest": OUTSIDE[:2]}, judge=make_judge(lambda one: None)
    )
    assert comparison.strata[0].counts[State.EXCLUDED] == 2


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ({"id": {"S": "7"}}, ("7",)),
        ({"id": {"S": "7"}, "more": {"N": "1"}}, ("7",)),
        ({"other": {"S": "7"}}, ("7",)),
        ({"finding": "missing", "key": {"id": {"S": "7"}}, "paths": []}, ("7",)),
    ],
)
def test_a_line_is_a_key_of_either_table_or_a_finding(tmp_path, line, key):
    path = tmp_path / "keys.jsonl"
    path.write_text(f"{json.dumps(line)}\n\n{json.dumps(line)}\n")
    assert strata.read(path, {"id": "S"}, {"other": "S"}) == (key,)


@pytest.mark.parametrize(
    "line",
    ["secret", '["secret"]', '"secret"', "1", '{"id": "secret"}', '{"id": {"N": "1"}}', "{}", '{"key": 1}'],
)
def test_a_line_that_is_no_key_is_named_and_not_quoted(tmp_path, line):
    path = tmp_path / "keys.jsonl"
    path.write_text('{"id": {"S": "7"}}\n' + line)
    with pytest.raises(ConfigurationError, match="line 2 of") as caught:
        strata.read(path, {"id": "S"})
    assert "secret" not in str(caught.value)
    assert '{"id": {"S": "..."}}' in caught.value.hint


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_keys_are_taken_with_a_byte_order_mark_and_gzipped(tmp_path, pack):
    path = tmp_path / "keys"
    path.write_bytes(pack('\ufeff{"id": {"S": "a\u2028ü"}}\r\n{"id": {"S": "b"}}'.encode()))

    assert strata.read(path, {"id": "S"}) == (("a\u2028ü",), ("b",))


@pytest.mark.parametrize(
    ("content", "said", "advice"),
    [
        (
            gzip.compress(b'{"id": {"S": "7"}}\n' * 99, mtime=0)[:-9],
            "is a truncated gzip file",
            "make it again",
        ),
        (
            b'{"id": "secret"}',
            "line 1 of .* is plain JSON",
            'use DynamoDB JSON, one key on a line: {"id": {"S"',
        ),
        (b'{"key": {"id": "secret"}}', "line 1 of .* is plain JSON", "use DynamoDB JSON"),
        ('{"id": {"S": "7"}}'.encode("utf-16"), "is not UTF-8 text", "save it as UTF-8"),
    ],
)
def test_what_is_no_such_file_is_said_to_be_what_it_is(tmp_path, content, said, advice):
    (tmp_path / "keys").write_bytes(content)

    with pytest.raises(ConfigurationError, match=said) as caught:
        strata.read(tmp_path / "keys", {"id": "S"})

    assert advice in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_file_without_keys_or_none_at_all(tmp_path):
    (tmp_path / "empty").write_text("\n")
    for name, reason in (("empty", "holds no key"), ("none", "cannot be read")):
        with pytest.raises(ConfigurationError, match=reason):
            strata.read(tmp_path / name, {"id": "S"})


def test_a_stratum_says_in_json_what_became_of_each_key():
    stratum = Stratum(name="n", counts={State.MATCHED: 2}, in_neither=1, listed=0)
    document = stratum.as_json()
    assert (document["keys"], document["matched"], document["in_neither"]) == (2, 2, 1)
    assert set(document) == {"name", "keys", "in_neither", *map(str, State)}
    assert str(replace(stratum, in_neither=0)) == "outside the bound, n: 2 keys, 2 matched"


def test_a_file_of_changed_keys_is_read_once_and_gone(tmp_path):
    assert strata.changed(None, SCHEMA) is None
    for content, keys in (("", ()), ('{"id": {"S": "7"}}\n', (("7",),))):
        file = tmp_path / "changed.jsonl"
        file.write_text(content)

        assert strata.changed(file, SCHEMA) == keys
        assert not file.exists()
