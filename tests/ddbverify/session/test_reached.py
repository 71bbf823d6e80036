"""A check claims something once it has come to a statement that could have failed it."""

from __future__ import annotations

import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest

from ddbverify.session import reached

COUNTS = {"missing": 0, "matched": 3}
CLAIMING = [
    "assert pair.comparison.counts['missing'] == 0",
    "assert not pair.comparison.counts['missing'], (\n    'some are missing'\n)",
    "assert (\n    len(pair.source.key_schema)\n    == 1\n)",
    "counts = pair.comparison.counts\nassert counts['missing'] == 0",
    "p = pair\nn = p.source.item_count\nassert n >= 0",
    "lost = []\nlost.extend(pair.comparison.differences)\nassert not lost",
    "total = 0\nfor one in pair.comparison.differences:\n    total += 1\nassert total == 0",
    "if pair.comparison.counts['missing']:\n    raise AssertionError",
    "import pytest\nif pair.comparison.counts['missing']:\n    pytest.fail('x')",
    "for one in pair.comparison.differences:\n    assert one.paths",
    "import unittest\nunittest.TestCase().assertEqual(pair.source.item_count, 3)",
    "def inner():\n    assert pair.source.item_count\ninner()",
    "rows = [one for one in pair.comparison.differences]\nassert all(row for row in rows)",
    "helper(pair)",
    "helper(pair.source)",
    "assert same(pair)",
    "match pair.source.item_count:\n    case 0:\n        raise ValueError",
    "if (n := pair.source.item_count) > 2:\n    assert n == 3",
    "try:\n    assert pair.source.item_count\nfinally:\n    pass",
    "with open('/dev/null'):\n    assert pair.source.item_count",
]
SILENT = [
    "pass",
    "return\nassert pair.comparison.counts['missing'] == 0",
    "pair.comparison",
    "verdict = pair.verdict('missing')",
    "if pair.id:\n    return\nassert pair.comparison",
    "if pair.source.item_count:\n    return\nassert pair.source.item_count == 0",
    "if pair.is_reshaped:\n    assert pair.comparison",
    "if pair.settings:\n    return\nraise AssertionError",
    "assert pair",
    "assert pair is not None",
    "assert pair.id",
    "assert True",
    "p = pair\nassert p",
    "print(pair.source.item_count)",
    "for one in pair.comparison.differences:\n    print(one)",
    "def inner():\n    assert pair.source.item_count",
    "early(pair)",
    "try:\n    raise KeyError\n    assert pair.source\nexcept KeyError:\n    pass",
]
HELPERS = """\
def helper(whatever):
    assert whatever

def same(pair):
    return True

def early(pair):
    return
    assert pair.comparison

"""


@pytest.fixture
def claims(tmp_path):
    def run(body):
        file = tmp_path / "check_it.py"
        file.write_text(HELPERS + "def check_it(pair):\n" + textwrap.indent(body, "    ") + "\n")
        namespace = {}
        exec(compile(file.read_text(), str(file), "exec"), namespace)
        table = SimpleNamespace(item_count=3, key_schema={"id": "S"})
        pair = SimpleNamespace(
            id="orders",
            settings={"a": 1},
            source=table,
            is_reshaped=False,
            comparison=SimpleNamespace(counts=COUNTS, differences=()),
            verdict=lambda *_: None,
        )
        with reached.following(file, alone=True) as followed:
            namespace["check_it"](pair)
        return followed.claimed

    return run


@pytest.mark.parametrize("body", CLAIMING)
def test_a_statement_that_could_have_failed_is_a_claim(claims, body):
    assert claims(body)


@pytest.mark.parametrize("body", SILENT)
def test_what_could_not_have_failed_claims_nothing(claims, body):
    assert not claims(body)


def test_a_claim_in_a_thread_of_the_check_counts(claims):
    assert claims(
        "import threading\n"
        "def inner():\n    assert pair.source.item_count\n"
        "thread = threading.Thread(target=inner)\nthread.start()\nthread.join()"
    )


def test_a_debugger_keeps_its_place_and_what_is_long_is_not_followed(tmp_path):
    def debugger(*_):
        return None

    before = sys.gettrace()
    try:
        sys.settrace(debugger)
        with reached.following(tmp_path, alone=False) as followed:
            assert sys.gettrace() is debugger
            assert followed.claimed
            with reached.not_followed():
                assert sys.gettrace() is debugger
        sys.settrace(None)
        with reached.following(tmp_path, alone=True):
            assert sys.gettrace() is not None
            with reached.not_followed():
                assert (sys.gettrace(), threading.gettrace()) == (None, None)
            assert sys.gettrace() is not None
        assert sys.gettrace() is None
    finally:
        sys.settrace(before)
