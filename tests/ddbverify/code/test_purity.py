"""A transform that gives two results for one item is found out on a few items; so is a file that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddbverify.code import purity
from ddbverify.config import Config, Pair
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


def test_a_file_that_it_reads_is_named_until_it_is_listed(try_it, tmp_path):
    (tmp_path / "rates.json").write_text("{}")
    loaded = "from pathlib import Path\nrates = Path(__file__).with_name('rates.json').read_text()\n"
    called = "def f(item):\n    open('rates.json').close()\n    return item\n"

    assert try_it(loaded + "def f(item): return item").unbound == ("rates.json",)
    assert try_it(called).unbound == ("rates.json",)
    assert try_it(called, "rates.json").unbound == ()
