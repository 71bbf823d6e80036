"""``ddbverify diff`` from exports: what it finds, and that nothing that is not whole is called equal."""

from __future__ import annotations

import errno
import gzip
import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.compare import exported
from ddbverify.compare.controls import HeldTable
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.config import Config, Duration, Pair, Side, Verification
from ddbverify.errors import AccessError, EngineError
from ddbverify.exports import export, parts, store
from ddbverify.exports.export import open_export
from ddbverify.exports.reader import ExportReader
from ddbverify.items.states import State
from ddbverify.tables.segments import Plan
from tests import shared_data
from tests.ddbverify.exports.exporting import AT, changes, deleted, full, moment, put
from tests.ddbverify.fakes import SCHEMA, item, make_judge

KEY = {"id": "S"}


def diff(*arguments, code=None, key="id:S"):
    """Run it without credentials; its summary, and the findings by key."""
    done = CliRunner().invoke(
        main, ["diff", *map(str, arguments), "--key", key, "--format", "jsonl", "--quiet"]
    )
    assert code is None or done.exit_code == code, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    summary = lines[-1].get("summary", lines[-1])
    return summary, {one["key"]["id"]["S"]: one["finding"] for one in lines if "finding" in one}


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch, request):
    if "aws" not in request.fixturenames:
        monkeypatch.setattr("ddbverify.tables.aws.client", lambda *_, **__: pytest.fail("AWS was asked"))


def test_every_kind_of_difference_is_found_whatever_file_it_lies_in(tmp_path):
    same = [item(f"same-{number}", v=str(number)) for number in range(50)]
    source = full(tmp_path / "a", same[:20], [*same[20:], item("gone"), item("other", v="1")], [])
    target = full(tmp_path / "b", [item("new"), *reversed(same)], [item("other", v="2")])
    summary, found = diff(source.address, target.address, code=1)
    assert found == {"gone": "missing", "new": "extraneous", "other": "different"}
    assert (summary["verdict"], summary["matched"], summary["complete"]) == ("different", 50, True)
    assert summary["read_units"] == {"source": 0, "target": 0}
    assert summary["exports"]["source"]["full"]["export_arn"] == source.summary["exportArn"]
    assert summary["exports"]["source"]["full"]["items"] == 52


def test_equal_exports_are_equal_and_say_what_was_not_known(tmp_path):
    source, target = (full(tmp_path / name, [item("a"), item("b")]) for name in "ab")
    summary, found = diff(source.address, f"{target.address}/", code=0)
    assert (summary["verdict"], found) == ("equal", {})
    assert any("filtered is not known" in note for note in summary["notes"])


def test_a_real_export_of_aws_is_read(tmp_path):
    copies = []
    for name in "ab":
        shutil.copytree(shared_data.export(), tmp_path / name / "AWSDynamoDB")
        (real,) = (tmp_path / name / "AWSDynamoDB").iterdir()
        copies.append(f"file://{real}")
    done = CliRunner().invoke(main, ["diff", *copies, "--key", "id:S"])
    assert done.exit_code == 2
    assert "the same export" in done.output
    opened = open_export(copies[0], (), Side(), KEY, place="SOURCE")
    other = full(tmp_path / "c", [item("bar")])
    summary, found = diff(copies[0], other.address, code=1)
    assert opened.full.items == 3
    assert summary["exports"]["source"]["full"]["items"] == 3
    assert found == {"bar": "different", "foo": "missing", "K3TXQk84Si": "missing"}


@given(st.data())
def test_it_finds_what_the_engine_finds_in_tables(tmp_path_factory, data):
    items = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["x", "y"]))
    sides = [[item(key, v=value) for key, value in data.draw(items).items()] for _ in range(2)]
    opened = []
    for side in sides:
        cut = data.draw(st.lists(st.integers(0, len(side)), max_size=3).map(sorted))
        pieces = [side[begin:end] for begin, end in zip([0, *cut], [*cut, len(side)], strict=True)]
        written = full(tmp_path_factory.mktemp("export"), *pieces)
        opened.append(open_export(written.address, (), Side(), KEY, place="SOURCE"))
    pair = Pair(source="orders", target="orders-v2")
    config = Config(tables=(pair,), verification=Verification(settle=Duration(0)))
    found: list[object] = []
    ours = exported.compare(config, pair, *opened, Listeners(found=found.append))
    tables = [HeldTable(side, SCHEMA) for side in sides]
    expected: list[object] = []
    theirs = Pass(
        "pair",
        *tables,
        make_judge(),
        Plan(1, (0,)),
        config.verification,
        request=PassRequest(),
        listeners=Listeners(found=expected.append),
    ).run()
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert ours.counts == theirs.counts
    assert (ours.source.items, ours.target.items) == (theirs.source.items, theirs.target.items)
    assert not ours.unexamined


# --- incremental exports --------------------------------------------------------------------


def test_incremental_exports_stand_in_place_of_what_the_full_one_says(tmp_path):
    source = full(tmp_path / "a", [item("a", v="1"), item("b", v="1")], [item("c", v="1"), item("d", v="1")])
    first = changes(tmp_path / "a", [put(item("a", v="2"), "id"), deleted(item("b"))], AT - 60, AT + 900)
    second = changes(
        tmp_path / "a", [put(item("e", v="1"), "id"), put(item("a", v="3"), "id")], AT + 900, AT + 1800
    )
    target = full(tmp_path / "b", [item("a", v="3"), item("c", v="1"), item("d", v="1"), item("e", v="1")])
    on_top = ["--source-changes", first.address, "--source-changes", second.address]
    summary, found = diff(source.address, target.address, *on_top, code=0)
    assert (summary["matched"], found) == (4, {})
    assert [one["since"] for one in summary["exports"]["source"]["changes"]] == [AT - 60, AT + 900]
    _, found = diff(source.address, target.address, *on_top[:2], code=1)
    assert found == {"a": "different", "e": "extraneous"}


@pytest.mark.parametrize(
    ("since", "until", "more", "message"),
    [
        (AT + 60, AT + 900, {}, "does not follow"),
        (AT - 900, AT - 60, {}, "does not follow"),
        (AT, AT + 900, {"table_id": "another"}, "of another table"),
        (AT + 900, AT, {}, "of which time"),
    ],
)
def test_incremental_exports_that_do_not_follow_are_refused(tmp_path, since, until, more, message):
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a")])
    on_top = changes(tmp_path / "a", [deleted(item("a"))], since, until, **more)
    done = CliRunner().invoke(
        main, ["diff", source.address, target.address, "--key", "id:S", "--source-changes", on_top.address]
    )
    assert done.exit_code in (2, 3)
    assert message in done.output


def test_an_image_under_another_key_than_its_line_is_damage(tmp_path):
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a")])
    line = put(item("b"), "id") | {"Keys": {"id": {"S": "a"}}}
    on_top = changes(tmp_path / "a", [line], AT, AT + 900)
    summary, _ = diff(source.address, target.address, "--source-changes", on_top.address, code=3)
    assert any("another key" in reason for reason in summary["reasons"])


def test_a_change_whose_key_has_more_attributes_than_are_given_takes_no_other_item_with_it(tmp_path):
    """By less of the key both items of the source would be gone, and both sides equal."""
    items = [item("a", sk="1"), item("a", sk="2"), item("b", sk="1")]
    source, target = full(tmp_path / "a", items), full(tmp_path / "b", items[2:])
    on_top = changes(tmp_path / "a", [deleted(items[0])], AT, AT + 900)
    summary, _ = diff(source.address, target.address, "--source-changes", on_top.address, code=3)
    assert any("keys of other attributes than id" in reason for reason in summary["reasons"])
    whole = source.address, target.address, "--source-changes", on_top.address
    summary, found = diff(*whole, key="id:S,sk:S", code=1)
    assert (summary["matched"], found) == (1, {"a": "missing"})


def test_images_of_incremental_exports_are_in_a_file_and_their_keys_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("ddbverify.exports.changes.PAGE_BYTES", 6_000)
    items = [item(str(number), v="x" * 5_000) for number in range(4)]
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a"), *items[1:]])
    lines = [put(item("1", v="old"), "id"), *(put(one, "id") for one in items), deleted(item("0"))]
    on_top = changes(tmp_path / "a", lines, AT, AT + 900)
    options = ["--source-changes", on_top.address, "--memory"]
    summary, found = diff(source.address, target.address, *options, "2KB", code=0)
    assert (summary["matched"], found) == (4, {})
    summary, _ = diff(source.address, target.address, *options, "1KB", code=3)
    assert any("do not fit into memory" in reason for reason in summary["reasons"])


def test_a_disk_that_takes_no_more_images_is_named(tmp_path, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr("ddbverify.exports.changes.TemporaryFile", Full)
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a")])
    on_top = changes(tmp_path / "a", [put(item("b"), "id")], AT, AT + 900)
    summary, _ = diff(source.address, target.address, "--source-changes", on_top.address, code=3)
    assert any("No space left" in reason for reason in summary["reasons"])


# --- what is not whole ----------------------------------------------------------------------


def _lines(path):
    return gzip.decompress(path.read_bytes())


def empty(path):
    path.write_bytes(b"")


def cut_at_a_member(path):
    first, rest = _lines(path).split(b"\n", 1)
    whole = gzip.compress(first + b"\n", mtime=0) + gzip.compress(rest, mtime=0)
    path.write_bytes(whole)  # what AWS may write: two members, sound
    path.write_bytes(gzip.compress(first + b"\n", mtime=0))


def cut_in_a_stream(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = [empty, cut_at_a_member, cut_in_a_stream, flip_a_bit, lambda path: path.unlink()]


@pytest.mark.parametrize("damage", DAMAGE, ids=["empty", "member", "stream", "bit", "absent"])
@pytest.mark.parametrize("side", [0, 1], ids=["source", "target"])
def test_a_data_file_that_is_not_the_manifests_leaves_what_it_could_hold_undecided(tmp_path, damage, side):
    sides = [
        full(tmp_path / name, [item("a"), item("b")], [item("c"), item("d")], [item("only" + name)])
        for name in "ab"
    ]
    damage(sides[side].data[0])
    summary, found = diff(sides[0].address, sides[1].address)
    assert summary["verdict"] != "equal"
    assert not summary["complete"]
    assert any("was not read to its end" in reason for reason in summary["reasons"])
    # What only the whole side holds may stand in the damaged file.
    assert {found[key] for key in ("a", "b", "only" + "ba"[side])} == {"undecided"}
    # What only the damaged side was seen to hold is not in the whole one.
    assert found["only" + "ab"[side]] == ("missing", "extraneous")[side]


@pytest.mark.parametrize("damage", DAMAGE[:3])
def test_damage_that_the_checksum_does_not_show_is_found_by_what_is_in_the_file(tmp_path, damage):
    """As if the manifest had been written for the damaged file: each guard by itself."""
    sides = [full(tmp_path / name, [item("a"), item("b")]) for name in "ab"]
    for one in sides:
        damage(one.data[0])
        content = one.data[0].read_bytes()
        one.files.clear()
        one.write_part(f"{one.export_id}/data/{(one.data and one.data[0].name) or 'x.json.gz'}", content, 2)
        one.write_manifests()
    summary, _ = diff(sides[0].address, sides[1].address, code=3)
    assert any("was not read to its end" in reason for reason in summary["reasons"])


def test_behind_what_could_not_be_read_there_is_no_end(tmp_path):
    written = full(tmp_path, [item("a")], [item("b")])
    cut_in_a_stream(written.data[1])
    reader = ExportReader(open_export(written.address, (), Side(), KEY, place="SOURCE"), memory=1_000)
    start = reader.scan_page(0, 1, None).last_key
    for _ in range(2):
        with pytest.raises(EngineError):
            reader.scan_page(0, 1, start)


def test_a_last_line_that_is_not_ended_is_damage(tmp_path):
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    text = json.dumps({"Item": item("a")}).encode()
    one.files.clear()
    one.write_part(f"{one.export_id}/data/x.json.gz", gzip.compress(text), 1)
    one.write_manifests()
    summary, _ = diff(one.address, other.address, code=3)
    assert any("last line is not ended" in reason for reason in summary["reasons"])


def test_a_file_without_the_end_of_its_trailer_is_damage(tmp_path):
    """Every item is there, and what would prove it is not."""
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    text = json.dumps({"Item": item("a")}).encode() + b"\n"
    one.files.clear()
    one.write_part(f"{one.export_id}/data/x.json.gz", gzip.compress(text)[:-4], 1)
    one.write_manifests()
    summary, _ = diff(one.address, other.address, code=3)
    assert any("ends in the middle" in reason for reason in summary["reasons"])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("key", [b'{"S":"\xff"}', b'{"N":"1"}', b'{"S":null}', b"{}"])
def test_a_key_that_cannot_be_read_is_no_key(tmp_path, place, key):
    """Not UTF-8, of another type, or none: wherever it stands in a page."""
    items = [item(f"key-{number}") for number in range(3)]
    one, other = full(tmp_path / "a", items), full(tmp_path / "b", items)
    lines = [json.dumps({"Item": it}).encode() for it in items]
    lines[place] = b'{"Item":{"id":' + key + b"}}"
    one.files.clear()
    content = gzip.compress(b"\n".join(lines) + b"\n")
    one.write_part(f"{one.export_id}/data/x.json.gz", content, len(items))
    one.write_manifests()
    for addresses in ((one.address, other.address), (other.address, one.address)):
        summary, found = diff(*addresses, code=3)
        assert set(found.values()) <= {"undecided"}
        assert any("key cannot be read" in reason for reason in summary["reasons"])


def test_a_key_that_is_not_the_tables_is_named(tmp_path):
    """Whoever mistyped --key reads what was looked for."""
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    summary, _ = diff(one.address, other.address, code=3, key="pk:S,id:N")
    assert any("key cannot be read as pk:S,id:N" in reason for reason in summary["reasons"])


def test_a_data_file_of_another_export_is_not_this_ones(tmp_path):
    """Both are sound, and hold as many items."""
    one, other = (full(tmp_path / name, [item(name)], [item("same")]) for name in "ab")
    one.data[0].write_bytes(other.data[0].read_bytes())
    summary, found = diff(one.address, other.address, code=3)
    assert found == {"b": "undecided"}
    assert any("does not match its checksum" in reason for reason in summary["reasons"])


def test_a_line_of_another_form_is_damage_and_its_content_is_not_shown(tmp_path):
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    one.files.clear()
    text = b'{"Item":{"id":{"S":"a"}},"secret":1}\n'
    one.write_part(f"{one.export_id}/data/x.json.gz", gzip.compress(text), 1)
    one.write_manifests()
    summary, _ = diff(one.address, other.address, code=3)
    assert any("form that exports have" in reason for reason in summary["reasons"])
    assert "secret" not in json.dumps(summary)


def test_files_of_several_members_and_of_many_pages_are_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PAGE_BYTES", 100)
    monkeypatch.setattr(parts, "READ_BYTES", 7)
    items = [item(f"key-{number}", v="x" * number) for number in range(60)]
    one, other = full(tmp_path / "a", items), full(tmp_path / "b", items)
    content = b"".join(gzip.compress(json.dumps({"Item": it}).encode() + b"\n", mtime=0) for it in items)
    one.files.clear()
    one.write_part(f"{one.export_id}/data/x.json.gz", content, len(items))
    one.write_manifests()
    summary, _ = diff(one.address, other.address, code=0)
    assert summary["matched"] == 60


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda one: one.files.append(one.files[0]), "lists a data file twice"),
        (lambda one: one.summary.update(itemCount=1), "counts 1 item, and the data files 2"),
        (lambda one: one.summary.update(filterSpecification={}), "filterSpecification"),
        (lambda one: one.summary.pop("exportTime"), "of which time"),
        (
            lambda one: one.summary.update(tableArn="arn:aws:dynamodb:eu-west-1:123456789012:table/x"),
            "names no",
        ),
        (lambda one: one.files[0].update(dataFileS3Key="AWSDynamoDB/../../etc/passwd"), "no data file"),
        (lambda one: one.files[0].update(dataFileS3Key="AWSDynamoDB/other/data/x.gz"), "no data file"),
        (lambda one: one.files[0].update(itemCount="2"), "itemCount"),
        (lambda one: one.summary.update(exportFromTime=moment(AT)), "of which time"),
    ],
)
def test_manifests_that_contradict_themselves_are_not_believed(tmp_path, alter, message):
    one, other = (full(tmp_path / name, [item("a"), item("b")]) for name in "ab")
    alter(one)
    one.write_manifests()
    done = CliRunner().invoke(main, ["diff", one.address, other.address, "--key", "id:S"])
    assert done.exit_code == 3, done.output
    assert "is not whole" in done.output
    assert message in done.output


@pytest.mark.parametrize("ending", ["md5", "checksum"])
def test_a_manifest_that_does_not_match_its_checksum_is_not_believed(tmp_path, ending):
    one, other = (full(tmp_path / name, [item("a"), item("b")]) for name in "ab")
    (one.folder / "manifest-files.md5").rename(one.folder / f"manifest-files.{ending}")
    path = one.folder / "manifest-files.json"
    path.write_text(path.read_text().replace("0-1", "0-2"))
    done = CliRunner().invoke(main, ["diff", one.address, other.address, "--key", "id:S"])
    assert done.exit_code == 3
    assert "manifest-files.json does not match its checksum" in done.output


def test_the_absence_of_checksums_is_named(tmp_path):
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    for path in one.folder.glob("*.md5"):
        path.unlink()
    summary, _ = diff(one.address, other.address, code=0)
    assert sum("has no checksum beside it that could be read" in note for note in summary["notes"]) == 2


# --- what is refused, and what expires ------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "5%"], "--sample"),
        (["--segments", "4"], "--segments"),
        (["--values"], "--values"),
        (["--key", "id"], "--key: 'id' is no key"),
        (["--key", "id:X"], "is no key"),
        (["--key", "a:S,b:S,c:S"], "is no key"),
        (["--key", "a:S,a:S"], "is no key"),
    ],
)
def test_what_an_export_cannot_answer_is_refused(tmp_path, options, message):
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    key = [] if "--key" in options else ["--key", "id:S"]
    done = CliRunner().invoke(main, ["diff", one.address, other.address, *key, *options])
    assert done.exit_code == 2, done.output
    assert message in done.output


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///nowhere/AWSDynamoDB/0-1", "there is no manifest-summary.json"),
        ("file:///nowhere/0-1", "names no export"),
        ("s3://bucket/0-1", "names no export"),
        ("s3:///AWSDynamoDB/0-1", "names no export"),
        ("https://bucket/AWSDynamoDB/0-1", "names no export"),
    ],
)
def test_addresses_of_no_export_are_named(tmp_path, address, message):
    other = full(tmp_path, [item("a")])
    done = CliRunner().invoke(main, ["diff", address, other.address, "--key", "id:S"])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert "SOURCE" in done.output


def test_exports_of_other_kinds_are_named(tmp_path):
    other = full(tmp_path / "b", [item("a")])
    on_top = changes(tmp_path / "a", [], AT, AT + 900)
    done = CliRunner().invoke(main, ["diff", on_top.address, other.address, "--key", "id:S"])
    assert done.exit_code == 2
    assert "--source-changes" in done.output
    first = full(tmp_path / "c", [item("a")])
    done = CliRunner().invoke(
        main, ["diff", other.address, first.address, "--key", "id:S", "--source-changes", other.address]
    )
    assert done.exit_code == 2
    assert "is a full export" in done.output


def test_a_folder_that_was_renamed_is_not_taken_for_another_export(tmp_path):
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    one.folder.rename(one.root / "01700000000000-99999999")
    done = CliRunner().invoke(
        main, ["diff", f"file://{one.root}/01700000000000-99999999", other.address, "--key", "id:S"]
    )
    assert done.exit_code == 2
    assert "are those of the export" in done.output


def test_plan_says_how_large_exports_are_and_that_they_cost_no_read_units(tmp_path):
    """It opens no data file."""
    one = full(tmp_path / "a", [item("a")] * 3, [item("b")], billedSizeBytes=4 * 10**9, outputFormat="ION")
    other = full(tmp_path / "b", [item("a")])
    on_top = changes(tmp_path / "b", [deleted(item("a")), deleted(item("b"))], AT, AT + 900)
    for path in (*one.data, *other.data, *on_top.data):
        path.unlink()
    command = ["plan", one.address, other.address, "--key", "id:S", "--target-changes", on_top.address]
    done = CliRunner().invoke(main, [*command, "--json"])
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert [made[role]["items"] for role in ("source", "target")] == [4, 3]
    assert [made[role]["files"] for role in ("source", "target")] == [2, 2]
    assert made["source"]["export"]["full"]["export_arn"] == one.summary["exportArn"]
    assert (made["read_units"], made["usd"], made["bound_by"]) == (0, 0, "the processor")
    assert made["seconds"] == made["cpu"]["seconds"] > 0
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    for said in ("4.0 GB", "an export in Ion", "and 1 incremental one in DynamoDB JSON", "read units  none"):
        assert said in done.output
    assert "S3" not in done.output, "both are in folders"
    one.files.append(one.files[0])
    one.write_manifests()
    assert CliRunner().invoke(main, command).exit_code == 3


def test_plan_of_an_export_beside_a_live_table(aws, unique, tmp_path, table):
    name, client = table
    address = in_a_bucket(aws, unique, tmp_path, name, client, [item("a")] * 5)
    run = CliRunner(env=aws.environment("eu-west-1"))
    made = json.loads(run.invoke(main, ["plan", address, name, "--settle", "live", "--json"]).stdout)
    assert made["source"]["read_units"] == 0
    assert made["read_units"] == made["target"]["read_units"] > 0
    assert made["read_units_per_key"] == [4 * 3, 11 * 3]


def test_findings_go_into_a_folder_with_the_report(tmp_path):
    one, other = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("b")])
    summary, _ = diff(one.address, other.address, "--out", tmp_path / "out", code=1)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["exports"] == summary["exports"]
    assert len((tmp_path / "out" / "findings.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "out" / "report.html").exists()


# --- with AWS -------------------------------------------------------------------------------


@pytest.fixture
def table(aws, unique):
    """A table of ten items, its client, and an export of it in a bucket."""
    name = unique("exported")
    client = aws.client("dynamodb", "eu-west-1")
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(10):
        client.put_item(TableName=name, Item=item(f"key-{number}", v="1"))
    return name, client


def in_a_bucket(aws, unique, tmp_path, name, client, items, **summary):
    """The address of an export of these items, as of the table *name*."""
    described = client.describe_table(TableName=name)["Table"]
    written = full(tmp_path, items[:4], items[4:])
    export_id = written.export_id
    written.summary |= {
        "tableArn": described["TableArn"],
        "tableId": described.get("TableId", ""),
        "exportArn": f"{described['TableArn']}/export/{export_id}",
        **summary,
    }
    written.write_manifests()
    s3, bucket = aws.client("s3", "eu-west-1"), unique("exports")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for path in written.root.rglob("*"):
        if path.is_file():
            key = f"some/where/AWSDynamoDB/{path.relative_to(written.root)}"
            s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return f"s3://{bucket}/some/where/AWSDynamoDB/{export_id}"


def live_diff(aws, *arguments):
    environment = aws.environment("eu-west-1")
    done = CliRunner(env=environment).invoke(main, ["diff", *arguments, "--format", "jsonl", "--quiet"])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done, lines[-1].get("summary", lines[-1]), lines[:-1]


def test_an_export_in_a_bucket_against_the_live_table(aws, unique, tmp_path, table):
    name, client = table
    address = in_a_bucket(
        aws, unique, tmp_path, name, client, [item(f"key-{number}", v="1") for number in range(10)]
    )
    done, summary, _ = live_diff(aws, address, name)
    assert done.exit_code == 0, done.output
    assert (summary["matched"], summary["read_units"]["source"]) == (10, 0)
    assert summary["read_units"]["target"] > 0
    assert any("apart" in note for note in summary["notes"])
    client.put_item(TableName=name, Item=item("key-3", v="2"))
    client.delete_item(TableName=name, Key=item("key-4"))
    done, summary, found = live_diff(aws, name, address)
    assert done.exit_code == 1
    assert {one["key"]["id"]["S"]: one["finding"] for one in found} == {
        "key-3": "different",
        "key-4": "extraneous",
    }


def test_settled_live_only_what_differs_in_the_tables_is_left(aws, unique, tmp_path, table):
    """The export is old: an old state of the source's must not count as one that the target follows."""
    name, client = table
    copy = unique("copy")
    client.create_table(
        TableName=copy,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(10):
        client.put_item(TableName=copy, Item=item(f"key-{number}", v="1"))
    then = [item(f"key-{number}", v="0" if number in (1, 2) else "1") for number in range(9)]
    other = [item(f"key-{number}", v="9" if number == 2 else "1") for number in range(9)]
    source = in_a_bucket(aws, unique, tmp_path / "a", name, client, then)
    target = in_a_bucket(aws, unique, tmp_path / "b", copy, client, other)
    client.put_item(TableName=copy, Item=item("key-2", v="0"))  # as the source was then, and is no more
    client.put_item(TableName=name, Item=item("key-5", v="2"))  # equal by the exports: not looked at
    for arguments in ((source, target), (target, source)):
        done, summary, found = live_diff(aws, *arguments, "--settle", "live:0s")
        assert done.exit_code == 1, done.output
        assert [(one["key"]["id"]["S"], one["finding"]) for one in found] == [("key-2", "different")]
        assert summary["matched"] == 8
        assert summary["items"] == {"source": 9, "target": 9}, "each once, however often it was looked at"
        assert min(summary["read_units"].values()) > 0
    client.put_item(TableName=copy, Item=item("key-2", v="1"))
    done, summary, found = live_diff(aws, source, target, "--settle", "live:0s")
    assert (done.exit_code, found) == (0, [])
    assert any("as these are now" in note for note in summary["notes"])


def test_a_bucket_that_is_not_there_is_named(aws, unique):
    bucket = unique("nowhere")
    address = f"s3://{bucket}/AWSDynamoDB/01700000000000-0a1b2c3d"
    done, summary, _ = live_diff(aws, address, address, "--key", "id:S")
    assert done.exit_code == 2
    assert summary["error"]["message"] == f"SOURCE: there is no bucket {bucket}."
    assert summary["error"]["hint"] == "look at the bucket's name in the address."


def test_settling_live_needs_the_tables(aws, unique, tmp_path, table):
    name, client = table
    address = in_a_bucket(aws, unique, tmp_path, name, client, [item("a")] * 5, tableId="another")
    done, summary, _ = live_diff(aws, address, name, "--settle", "live", "--key", "id:S")
    assert done.exit_code == 2
    assert "--settle live cannot look at it" in summary["error"]["message"]
    done, summary, _ = live_diff(aws, name, name, "--settle", "live")
    assert done.exit_code == 2
    assert "is for exports" in summary["error"]["message"]


def test_an_export_of_a_table_that_was_made_anew_does_not_tell_its_key(aws, unique, tmp_path, table):
    name, client = table
    address = in_a_bucket(aws, unique, tmp_path, name, client, [item("a")] * 5, tableId="another")
    done, summary, _ = live_diff(aws, address, name)
    assert done.exit_code == 2
    assert "--key" in summary["error"]["hint"]


def test_a_checksum_that_may_not_be_read_is_like_none(tmp_path, monkeypatch):
    one, other = (full(tmp_path / name, [item("a")]) for name in "ab")
    real = store.FolderStore.small

    def small(self, name):
        if name.endswith((".md5", ".checksum")):
            raise AccessError("AWS refused: AccessDenied", "give this identity the permission.")
        return real(self, name)

    monkeypatch.setattr(store.FolderStore, "small", small)
    summary, _ = diff(one.address, other.address, code=0)
    assert sum("has no checksum beside it that could be read" in note for note in summary["notes"]) == 4


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"FilterSpecification": {"FilterExpression": "a = :b"}}, "was filtered"),
        ({"ExportStatus": "FAILED"}, "is FAILED"),
        ({"ExportStatus": "IN_PROGRESS"}, "is IN_PROGRESS"),
    ],
)
def test_what_aws_says_of_an_export_counts(aws, unique, tmp_path, table, monkeypatch, said, message):
    name, client = table
    address = in_a_bucket(aws, unique, tmp_path, name, client, [item("a")] * 5)

    class Described:
        def describe_export(self, **_):
            return {"ExportDescription": {"ExportStatus": "COMPLETED"} | said}

    real = export.aws.client
    monkeypatch.setattr(
        export.aws,
        "client",
        lambda side, service, **how: Described() if service == "dynamodb" else real(side, service, **how),
    )
    done, summary, _ = live_diff(aws, address, address.replace("some", "any"), "--key", "id:S")
    assert done.exit_code == 3, done.output
    assert message in summary["error"]["message"]


def test_an_item_that_expired_before_the_later_export_may_be_gone(tmp_path, monkeypatch):
    """The earlier export still holds it. One that expires later may not be gone."""
    late = AT + 3600
    sides = []
    for name, items, at in (
        ("a", [item("a"), expiring("over", AT + 60), expiring("not-yet", late + 60)], AT),
        ("b", [item("a")], late),
    ):
        written = full(tmp_path / name, items, exportTime=moment(at))
        opened = open_export(written.address, (), Side(), KEY, place="SOURCE")
        sides.append(replace(opened, table=replace(opened.table, ttl_attribute="expires")))
    pair = Pair(source="orders", target="orders-v2")
    found = []
    made = exported.compare(Config(tables=(pair,)), pair, *sides, Listeners(found=found.append))
    assert [(one.key["id"]["S"], one.state) for one in found] == [("not-yet", State.MISSING)]
    assert made.counts[State.EXCLUDED] == 1


def expiring(key, at):
    return item(key) | {"expires": {"N": str(int(at))}}
