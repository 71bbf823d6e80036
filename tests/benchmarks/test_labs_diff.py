"""AWS Labs' algorithm, written anew: what it finds where both sides come in one order, and what not."""

from __future__ import annotations

import pytest

from benchmarks.export_files import exported
from benchmarks.labs_diff import Found, compare, files_of, in_file, scanned
from benchmarks.page_server import KEYS, Generated, page_server

PLAIN = ["pk"]


def some(*keys, **more):
    return [{"pk": {"S": key}, "v": {"S": more.get(key, "same")}} for key in keys]


def ranged(*keys):
    return [{"pk": {"S": "p"}, "sk": {"N": key}} for key in keys]


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ([], [], Found(0, 0, 0, 0)),
        (some("a", "b"), some("a", "b"), Found(2, 0, 0, 0)),
        (some("a", "b"), some("a", "b", b="other"), Found(1, 0, 0, 1)),
        (some("a", "b", "c"), some("a", "c"), Found(2, 1, 0, 0)),
        (some("a", "c"), some("a", "b", "c"), Found(2, 0, 1, 0)),
        (some("a"), some("x", "y"), Found(0, 1, 2, 0)),
        (some("a", "b"), [], Found(0, 2, 0, 0)),
        (some("a", "x"), some("y", "a"), Found(1, 1, 1, 0)),
    ],
)
def test_what_it_finds_in_one_order(source, target, found):
    assert compare(source, target, PLAIN) == found


def test_range_keys_tell_which_side_lacks_an_item():
    assert compare(ranged("1", "2", "3"), ranged("1", "3"), ["pk", "sk"]) == Found(2, 1, 0, 0)
    assert compare(ranged("1", "3"), ranged("1", "2", "3", "4"), ["pk", "sk"]) == Found(2, 0, 2, 0)


def test_numeric_range_keys_are_compared_as_text_so_it_misses_what_is_there():
    # 10 lies in both. As text it is smaller than 9, so it counts as missing and as extraneous.
    assert compare(ranged("9", "10"), ranged("10"), ["pk", "sk"]) == Found(0, 2, 1, 0)


def test_without_a_common_order_equal_tables_differ():
    found = compare(some("a", "b", "c", "d"), some("c", "a", "d", "b"), PLAIN)
    assert found.missing
    assert found.extraneous


def test_files_and_pages_hold_the_same(tmp_path):
    tables = {"source": Generated(items=300), "same": Generated(items=300), "fewer": Generated(items=300)}
    tables["fewer"] = Generated(items=300, planted={7: "missing", 9: "changed"})
    with page_server(tables) as server:
        at = {name: exported(server, name, tmp_path / name, "DYNAMODB_JSON", 3) for name in tables}
        files = {name: files_of(address) for name, address in at.items()}
        for number in range(3):
            pages = [scanned(server.endpoint_url, name, number, 3) for name in ("source", "same")]
            assert compare(*pages, list(KEYS)) == Found(100, 0, 0, 0)
            pair = (in_file(files[name][number]) for name in ("source", "same"))
            assert compare(*pair, list(KEYS)) == Found(100, 0, 0, 0)
    found = compare(in_file(files["source"][0]), in_file(files["fewer"][0]), list(KEYS))
    assert found == Found(98, 1, 0, 1)
