"""Numbers in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ddbverify import words
from ddbverify.words import about, are, as_json, duration_in_words, money, number_of, size_in_words, were


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "under 1 s"),
        (90, "90 s"),
        (720, "12 min"),
        (12_600, "3.5 h"),
        (190_000, "2.2 days"),
    ],
)
def test_durations(seconds, words):
    assert duration_in_words(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (3_400_000, "3.4 MB"), (999_990, "1.0 MB"), (2.5e15, "2,500.0 TB")],
)
def test_sizes(size, words):
    assert size_in_words(size) == words


def test_money_that_is_not_nothing_is_never_called_nothing():
    assert [money(one) for one in (0, 0.0001, 0.01, 1234.5)] == ["$0.00", "under $0.01", "$0.01", "$1,234.50"]
    assert [about(money(one)) for one in (0.0001, 2)] == ["under $0.01", "about $2.00"]


def test_nouns():
    assert [number_of(one, "key") for one in (0, 1, 1234)] == ["0 keys", "1 key", "1,234 keys"]
    assert [(are(one), were(one)) for one in (0, 1, 2)] == [("are", "were"), ("is", "was"), ("are", "were")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"id": {"S": "grüezi 日本 😀"}}, '{"id": {"S": "grüezi 日本 😀"}}'),
        ({"b": 1, "a": "x"}, '{"b": 1, "a": "x"}'),
        ("\x1b[31m\u202ered\u2028\x9b\U000e0001", r'"\u001b[31m\u202ered\u2028\u009b\udb40\udc01"'),
    ],
)
def test_json_for_people_has_letters_of_every_script_and_steers_no_terminal(value, shown):
    assert as_json(value) == shown
    assert json.loads(shown) == value
    assert json.loads(as_json([value], indent=2)) == [value]
    assert all(line.isprintable() for line in as_json([value], indent=2).split("\n"))


def test_a_page_is_one_that_can_be_opened_in_a_checkout_and_in_a_wheel(tmp_path, monkeypatch):
    checkout = Path(words.__file__).parents[1]
    monkeypatch.chdir(checkout)
    assert words.page("checks.md") == "docs/checks.md"
    monkeypatch.chdir(tmp_path)
    assert Path(words.page("checks.md")) == checkout / "docs" / "checks.md"

    installed = tmp_path / "site-packages" / "ddbverify"
    (installed / "_docs").mkdir(parents=True)
    monkeypatch.setattr(words, "__file__", str(installed / "words.py"))
    monkeypatch.chdir("/")
    assert words.page("checks.md") == str(installed / "_docs" / "checks.md").removeprefix("/")
    assert Path(words.page("checks.md")).parent.is_dir()

    (installed / "_docs").rmdir()
    assert words.page("checks.md") == "docs/checks.md"  # in a bundle, where nobody looks it up
