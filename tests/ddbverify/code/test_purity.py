"""A transform that gives two results for one item is found out on a few items; so is a file that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddbverify.code import purity
from ddbverify.config import Config, Pair
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform

# So many tags that two processes do not have them in one order by chance.
ITEMS = [{"id": {"S": name}, "tags": {"SS": list("klmnopqrstuv")}} for name in "abcde"]
KEYS = {"id": "S"}


@pytest.fixture
def try_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    module = f"pure_{abs(hash(request.node.name))}"

    def tried(text: str, *files: str) -> purity.Tried:
        (tmp_path / f"{module}.py").write_text(text)
        name = f"{module}:f"
        pair = Pair(source="orders", target="orders-v2", transform=name, transform_files=files)
        transform = Transform.load(name, KEYS, KEYS, rekeys=False)
        return purity.tried(Config(tables=(pair,), folder=tmp_path), transform, ITEMS)

    return tried


@pytest.fixture
def try_inverse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator:
    """Of ``f`` the inverse ``g``."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    module = f"inverse_{abs(hash(request.node.name))}"

    def tried(text: str, *files: str) -> purity.TriedInverse:
        (tmp_path / f"{module}{len(files)}.py").write_text(text)
        f, g = f"{module}{len(files)}:f", f"{module}{len(files)}:g"
        pair = Pair(source="orders", target="orders-v2", transform=f, inverse=g, transform_files=files)
        transform = Transform.load(f, KEYS, KEYS, rekeys=False)
        inverse = Inverse.load(g, KEYS, KEYS)
        items = [{**item, "kept": {"N": "1"}} for item in ITEMS]
        return purity.tried_inverse(Config(tables=(pair,), folder=tmp_path), transform, inverse, items)

    return tried


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import uuid\ndef f(item): return {**item, 'n': str(uuid.uuid4())}", "twice"),
        ("import time\ndef f(item): return {**item, 'n': time.time_ns()}", "twice"),
        ("n = []\ndef f(item):\n    n.append(1)\n    return {**item, 'n': len(n)}", "twice"),
        ("def f(item): return {**item, 'n': hash(item['id'])}", "second process"),
        ("def f(item): return {**item, 'n': list(item['tags'])}", "second process"),
        ("import time\ndef f(item): return {**item, 'n': time.timezone}", "second process"),
        ("import os\ndef f(item): return {**item, 'n': os.getpid()}", "second process"),
        (
            "seen = {}\ndef f(item): return {**item, 'n': seen.setdefault(item['id'], len(seen))}",
            "second process",
        ),
        (
            "import os\ndef f(item): return item if os.environ.get('TZ', 'UTC') == 'UTC' else None",
            "second process",
        ),
    ],
)
def test_two_results_for_one_item_are_found(try_it, text, how):
    assert how in try_it(text).impure


@pytest.mark.parametrize(
    "text",
    [
        "def f(item): return item",
        "def f(item): return {**item, 'tags': {tag.upper() for tag in item['tags']}}",
        "def f(item):\n    if item['id'] == 'b': raise KeyError(object())\n    return None",
    ],
)
def test_what_depends_on_the_item_alone_is_pure(try_it, text):
    found = try_it(text)

    assert (found.impure, found.unbound) == ("", ())
    assert len(found.failures) == text.count("raise")


WIDER = "def f(item): return {name: value for name, value in item.items() if name != 'kept'}\n"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def g(item, before): return item | ({'kept': before['kept']} if before else {})", ""),
        ("def g(item): return item", "inverse(transform(item), item) == item does not hold: other kept"),
        ("def g(item, before): return before", "returned a NoneType"),
        ("def g(item, before): return before or {**item, 'kept': hash(item['id'])}", ""),
        ("def g(item, before): return {**item, 'kept': before and hash(item['id'])}", "other kept"),
    ],
)
def test_an_inverse_is_held_to_its_laws(try_inverse, text, what):
    found = try_inverse(WIDER + text)

    assert found.examined == len(ITEMS)
    assert (what in str(found.broken)) if what else (found.broken is None)
    assert (found.impure, found.unbound) == ("", ())


def test_an_inverse_that_gives_another_result_in_another_process_is_found(try_inverse):
    text = (
        "import os\ndef g(item, before):\n"
        "    return {**item, 'kept': before['kept'] if before and os.environ['TZ'] == 'UTC' else 9}"
    )
    assert "second process" in try_inverse(WIDER + text).impure


def test_of_items_that_the_transform_drops_nothing_is_said(try_inverse):
    found = try_inverse("def f(item): return None if item['id'] < 'c' else item\ndef g(item): return item")
    assert (found.examined, found.broken) == (3, None)


def test_a_file_that_an_inverse_reads_is_named(try_inverse, tmp_path):
    (tmp_path / "rates.json").write_text("{}")
    text = "def f(item): return item\ndef g(item):\n    open('rates.json').close()\n    return item\n"

    assert try_inverse(text).unbound == ("rates.json",)
    assert try_inverse(text, "rates.json").unbound == ()


def test_a_file_that_it_reads_is_named_until_it_is_listed(try_it, tmp_path):
    (tmp_path / "rates.json").write_text("{}")
    loaded = "from pathlib import Path\nrates = Path(__file__).with_name('rates.json').read_text()\n"
    called = "def f(item):\n    open('rates.json').close()\n    return item\n"

    assert try_it(loaded + "def f(item): return item").unbound == ("rates.json",)
    assert try_it(called).unbound == ("rates.json",)
    assert try_it(called, "rates.json").unbound == ()
