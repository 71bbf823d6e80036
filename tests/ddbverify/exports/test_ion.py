"""Exports in Amazon Ion: every type exactly, and nothing that no item can hold."""

from __future__ import annotations

import base64
import gzip
import json
import sys

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.exports import ion, ion_text
from ddbverify.exports.parts import Malformed
from ddbverify.items.form import Form
from ddbverify.items.values import to_typed
from ddbverify.testing.strategies import items as any_items
from tests.ddbverify.exports.exporting import AT, changes, full, in_ion, line_in_ion


def line(item):
    return line_in_ion({"Item": item})


def export(folder, items):
    return full(folder, items, outputFormat="ION")


def written(made, texts):
    """An export with these lines in one file."""
    texts = list(texts)
    made.files.clear()
    content = gzip.compress("".join(texts).encode(), mtime=0)
    folder = "data" if "exportFromTime" in made.summary else f"{made.export_id}/data"
    made.write_part(f"{folder}/{made.export_id}.ion.gz", content, len(texts))
    made.summary["itemCount"] = len(texts)
    made.write_manifests()
    return made


def read(text):
    """The items of lines, and that the page that they are said to stand in holds them."""
    page, items = ion.items_of(text.encode())
    assert all(one in page for one in map(bytes, items))
    return [json.loads(bytes(one)) for one in items]


def meaning(items):
    return [FORM.digest(one) for one in items]


FORM = Form.of(())

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


@pytest.fixture
def without_amazon(monkeypatch):
    monkeypatch.setattr(ion, "_by_amazon", lambda _: pytest.fail("amazon.ion was asked"))


@pytest.mark.usefixtures("without_amazon")
def test_every_type_is_read_as_it_is_and_without_amazon_ion():
    assert meaning(read(line(EVERY_TYPE) * 2)) == meaning([EVERY_TYPE] * 2)


def test_every_type_is_read_as_it_is_by_amazon_ion():
    """A space in front is nothing that exports have."""
    with pytest.raises(ion_text.Outside):
        ion_text.as_json(f" {line(EVERY_TYPE)}".encode())
    assert meaning(read(f" {line(EVERY_TYPE)}")) == meaning([EVERY_TYPE])


@given(any_items({"id": "S"}))
def test_any_item_is_read_as_it_is_by_both(item):
    typed = {name: to_typed(value) for name, value in item.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ion, "_by_amazon", lambda _: pytest.fail("amazon.ion was asked"))
        assert meaning(read(line(typed))) == meaning([typed])
    assert meaning(read(f" {line(typed)}")) == meaning([typed])


@pytest.mark.usefixtures("without_amazon")
def test_a_name_with_a_quotation_mark_is_read():
    item = {"id": {"S": 'it\'s "7"'}, 'a"b': {"M": {"'\"": {"S": '"'}, "c-d": {"NULL": True}}}}
    assert read(line(item)) == [item]


@given(st.text(), st.text())
def test_any_text_is_read_as_it_is_by_both(content, member):
    typed = {"id": {"M": {member: {"S": content}}}, "set": {"SS": [content, member]}}
    assert read(line(typed)) == read(f" {line(typed)}") == [typed]


@pytest.mark.usefixtures("without_amazon")
@pytest.mark.parametrize(
    ("escape", "is_read"),
    [
        (r"\'", "'"),
        (r"\?", "?"),
        (r"\/", "/"),
        (r"\x41", "A"),
        (r"\x22", '"'),
        (r"\u00e9", "\u00e9"),
        (r"\U0001F600", "\U0001f600"),
        (r"\U0000005c", "\\"),
        (r"\\x41", r"\x41"),
        (r"\a\b\t\n\f\r\v\0", "\a\b\t\n\f\r\v\0"),
    ],
)
def test_every_escape_is_read(escape, is_read):
    assert read(f'{{Item:{{id:"{escape}"}}}}\n') == [{"id": {"S": is_read}}]
    assert read(f"{{Item:{{'{escape}':true}}}}\n") == [{is_read: {"BOOL": True}}]


TOKENS = st.sampled_from(
    [
        *("$ion_1_0 ", "Item", "a", "'b'", '"c"', "$dynamodb_SS", "$dynamodb_NS", "null", "null.null"),
        *(
            "true",
            "nan",
            "1.",
            "-0.",
            "6d2",
            "1.5",
            "12",
            "00.",
            "1e0",
            "{{",
            "}}",
            "QUI=",
            "{{QUI=}}",
            "{{QQ}}",
        ),
        *(r'"\x41"', r'"\ud800"', r'"\u00zz"', "{Item:{", "}}\n", "$4", "'''d'''", "//", "/*", "*/", "\\"),
        *('"', "'", "'':", "id:", ":", "::", ",", "[", "]", "{", "}", "(", ")", "\n", " ", "\t", "\0"),
        *("$dynamodb_SS::[", "$dynamodb_BS::[{{QUI=}}]", '"e":', "'f':", "true:", "-"),
    ]
)


@given(st.lists(TOKENS, max_size=14).map("".join))
@settings(max_examples=400)
@example("a:1.,a:2.")
@example(r'a:"\ud800"')
@example(r'a:"\u00zz"')
@example("a:12")
@example("a:{{QQ}}")
@example("'''a''':1.")
@example("$4:1.")
@example(r"a:\x31.")
@example(r"a:\x22\x22")
@example('a:1."')
@example("""a:"x",'b"c':1.,d:"'",'e"f':2.""")
@example("""'a":{b:"c':1.""")
@example("\n$ion_1_0 ")
@example("{Item:{}}{Item:{}}\n")
def test_what_it_reads_by_itself_is_what_amazon_ion_reads(soup):
    for content in (soup, f"{{Item:{{{soup}}}}}\n", f"{{Item:{{a:[{soup}]}}}}\n"):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ion, "_by_amazon", refuse)
                mine = read(content)
        except Malformed:
            continue
        theirs = ion._ITEMS.decode_lines(ion._by_amazon(content.encode()))
        assert meaning(mine) == meaning(json.loads(bytes(one.M.Item.M)) for one in theirs)


def refuse(_):
    raise Malformed


def test_what_stands_between_values_is_remembered_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(ion_text, "REMEMBERED", 3)
    ion_text._between.clear()
    items = [{"id": {"S": "7"}, f"n{number}": {"N": "1"}} for number in range(20)]
    assert read("".join(map(line, items))) == items
    assert len(ion_text._between) <= 3


@pytest.mark.parametrize("before", ["", " "])
def test_the_longest_values_of_an_item_are_read(before):
    item = {"id": {"S": "7"}, "text": {"S": "\u00e9" * 100_000}, "binary": {"B": "QUFB" * 66_000}}
    assert read(before + line(item)) == [item]


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
        _, items = ion.items_of(content)
    except Malformed:
        return
    assert all(isinstance(json.loads(bytes(one)), dict) for one in items)


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


def changed(item, *, is_there=True):
    """A line of an incremental export as AWS's documentation has it."""
    keys, image = in_ion({"M": {"id": item["id"]}}), in_ion({"M": item})
    images = f'NewImage:{image},OldImage:{{id:"7"}}' if is_there else f"OldImage:{image}"
    return f"$ion_1_0 {{Record:{{Keys:{keys},Metadata:{{WriteTimestampMicros:17d14}},{images}}}}}\n"


def test_incremental_exports_in_ion_on_top_of_one_in_either(tmp_path):
    items = [EVERY_TYPE | {"id": {"S": str(number)}} for number in range(6)]
    now = items[1] | {"exact": {"N": "1"}}
    lines = [changed(items[0], is_there=False), changed(now), changed({"id": {"S": "new"}})]
    target = full(tmp_path / "b", [now, *items[2:], {"id": {"S": "new"}}])
    for folder, make in ((tmp_path / "a", export), (tmp_path / "c", full)):
        source = make(folder, items)
        on_top = written(changes(folder, [], AT, AT + 900, outputFormat="ION"), lines)
        options = ["--source-changes", on_top.address, "--key", "id:S", "--format", "jsonl", "--quiet"]
        done = CliRunner().invoke(main, ["diff", source.address, target.address, *options])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout.splitlines()[-1])["summary"]["matched"] == 6


@pytest.mark.parametrize(
    "text",
    [
        '{Keys:{id:"7"},Metadata:{},NewImage:{id:"7"}}',
        '{Record:{Keys:{id:"7"},NewImage:{id:"7"}}}',
        '{Record:{Keys:{id:"7"},Metadata:{},NewImage:null}}',
        '{Record:{Keys:{id:"7"},Metadata:{},Other:{}}}',
        '{Item:{id:"7"}}',
    ],
)
def test_what_no_incremental_export_holds_is_no_change(text):
    with pytest.raises(Malformed):
        ion.changes_of(text.encode() + b"\n")


@pytest.mark.parametrize("time", ["1700000000000000", "1700000000000000.", "17d14"])
def test_the_time_of_a_write_may_be_any_number(time):
    """Which one AWS writes was not seen here, and nobody reads it."""
    line = (
        f'{{Record:{{Keys:{{id:"7"}},Metadata:{{WriteTimestampMicros:{time}}},NewImage:{{id:"7",n:1.}}}}}}\n'
    )
    (change,) = ion.changes_of(line.encode())
    assert json.loads(bytes(change.NewImage.M)) == {"id": {"S": "7"}, "n": {"N": "1"}}


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
