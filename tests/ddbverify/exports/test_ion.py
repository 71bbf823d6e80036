"""Exports in Amazon Ion: every type exactly, and nothing that no item can hold."""

from __future__ import annotations

import base64
import gzip
import json
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.exports import ion
from ddbverify.exports.parts import Malformed
from ddbverify.items.form import Form
from ddbverify.items.values import to_typed
from ddbverify.testing.strategies import items as any_items
from tests.ddbverify.exports.exporting import full


def in_ion(value):
    """A typed value as AWS writes it."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return json.dumps(content)
        case "N":
            return number(content)
        case "B":
            return "{{" + content + "}}"
        case "BOOL":
            return "true" if content else "false"
        case "NULL":
            return "null"
        case "L":
            return "[" + ",".join(map(in_ion, content)) + "]"
        case "M":
            members = (f"{json.dumps(name)}:{in_ion(one)}" for name, one in content.items())
            return "{" + ",".join(members) + "}"
    member = kind[0]
    return f"$dynamodb_{kind}::[" + ",".join(in_ion({member: one}) for one in content) + "]"


def number(text):
    """As a decimal of Ion: with a point, or with ``d`` in place of ``e``."""
    text = text.lower().replace("e+", "e")
    return text.replace("e", "d") if "e" in text else text if "." in text else f"{text}."


def line(item):
    return f"$ion_1_0 {{Item:{in_ion({'M': item})}}}\n"


def export(folder, items):
    made = full(folder, [], outputFormat="ION")
    made.files.clear()
    content = gzip.compress("".join(map(line, items)).encode(), mtime=0)
    made.write_part(f"{made.export_id}/data/x.ion.gz", content, len(items))
    made.summary["itemCount"] = len(items)
    made.write_manifests()
    return made


EVERY_TYPE = {
    "id": {"S": "7"},
    "text": {"S": 'quotes " \\ and\nlines, \u00e9 \U0001f600'},
    "empty": {"S": ""},
    "exact": {"N": "12345678901234567890123456789012345678"},
    "large": {"N": "1E+125"},
    "small": {"N": "-1.2345678901234567890123456789012345678E-100"},
    "binary": {"B": base64.b64encode(bytes(range(256))).decode()},
    "yes": {"BOOL": True},
    "no": {"BOOL": False},
    "null": {"NULL": True},
    "texts": {"SS": ["b", "a"]},
    "numbers": {"NS": ["2.5", "1"]},
    "binaries": {"BS": ["aGVsbG8=", ""]},
    "list": {"L": [{"N": "1"}, {"NULL": True}, {"L": []}, {"SS": ["x"]}]},
    "map": {"M": {"": {"S": "no name"}, "Name": {"N": "0"}, "name": {"M": {}}}},
}


def test_every_type_is_read_as_it_is():
    (read,) = ion.items_of(line(EVERY_TYPE).encode())
    form = Form.of(())
    assert form.digest(json.loads(read)) == form.digest(EVERY_TYPE)


@given(any_items({"id": "S"}))
def test_any_item_is_read_as_it_is(item):
    typed = {name: to_typed(value) for name, value in item.items()}
    (read,) = ion.items_of(line(typed).encode())
    form = Form.of(())
    assert form.digest(json.loads(read)) == form.digest(typed)


def test_the_longest_values_of_an_item_are_read():
    item = {"id": {"S": "7"}, "text": {"S": "\u00e9" * 100_000}, "binary": {"B": "QUFB" * 66_000}}
    (read,) = ion.items_of(line(item).encode())
    assert json.loads(read) == item


@pytest.mark.parametrize(
    "text",
    [
        "{Item:{a:1}}",  # an int; exports have decimals
        "{Item:{a:1e0}}",
        "{Item:{a:null.string}}",
        "{Item:{a:2020-01-01T}}",
        "{Item:{a:symbol}}",
        "{Item:{a:(1. 2.)}}",
        '{Item:{a:{{"clob"}}}}',
        '{Item:{a:other::"x"}}',
        '{Item:{a:$dynamodb_SS::"x"}}',
        "{Item:{a:$dynamodb_SS::[1.]}}",
        '{Item:{a:$dynamodb_SS::$dynamodb_BS::["x"]}}',
        "{Item:{a:$dynamodb_NS::[1]}}",
        "{Item:{a:1.},Other:{}}",
        "{Item:[]}",
        "x::{Item:{}}",
        "{Other:{}}",
        "{Item:{a:1.",
        '"Item"',
        "}",
    ],
)
def test_what_no_export_holds_is_no_item(text):
    with pytest.raises(Malformed):
        ion.items_of(text.encode() + b"\n")


def test_text_that_is_not_utf_8_is_no_item():
    with pytest.raises(Malformed):
        ion.items_of(b'{Item:{a:"\xff"}}\n')


@given(st.binary(max_size=40))
def test_whatever_comes_is_items_or_malformed(content):
    try:
        items = ion.items_of(content)
    except Malformed:
        return
    assert all("Item" not in json.loads(one) or isinstance(json.loads(one), dict) for one in items)


def test_an_export_in_ion_beside_one_in_json(tmp_path):
    items = [EVERY_TYPE | {"id": {"S": str(number)}} for number in range(30)]
    ours = export(tmp_path / "a", [*items, {"id": {"S": "only"}}])
    theirs = full(tmp_path / "b", items[:10], [*items[10:29], items[29] | {"exact": {"N": "1"}}])
    done = CliRunner().invoke(
        main, ["diff", ours.address, theirs.address, "--key", "id:S", "--format", "jsonl", "--quiet"]
    )
    assert done.exit_code == 1, done.output
    lines = [json.loads(one) for one in done.stdout.splitlines()]
    assert lines[-1]["summary"]["matched"] == 29
    assert {one["key"]["id"]["S"]: (one["finding"], one["paths"]) for one in lines[:-1]} == {
        "29": ("different", ["exact: value"]),
        "only": ("missing", []),
    }


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    ours, theirs = export(tmp_path / "a", [EVERY_TYPE]), full(tmp_path / "b", [EVERY_TYPE])
    monkeypatch.setitem(sys.modules, "ddbverify.exports.ion", None)
    monkeypatch.delattr("ddbverify.exports.ion", raising=False)
    done = CliRunner().invoke(main, ["diff", ours.address, theirs.address, "--key", "id:S"])
    assert done.exit_code == 2
    assert "pip install 'ddbverify[ion]'" in done.output


def test_its_parser_in_python_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr("amazon.ion.simpleion.c_ext", False)
    ours, theirs = export(tmp_path / "a", [EVERY_TYPE]), full(tmp_path / "b", [EVERY_TYPE])
    done = CliRunner().invoke(main, ["diff", ours.address, theirs.address, "--key", "id:S"])
    assert done.exit_code == 2
    assert "parser in C" in done.output
