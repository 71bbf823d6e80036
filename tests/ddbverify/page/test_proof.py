"""`ddbverify report`: written whole or not at all, and whether a page is unaltered."""

from __future__ import annotations

import html
import json
import os
import re
import stat

import msgspec
import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.config import load
from ddbverify.evidence import cutover, evidence, folders, signing
from ddbverify.page import making, stamp
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence, leave
from tests.ddbverify.pages import TOKEN, every_kind, failed_evidence, finding, rich, write_findings


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load(projects.make_project(tmp_path))


def report(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)], catch_exceptions=False)


def said(result):
    return " ".join(result.output.split())


SUMMARY = {
    "verdict": "different",
    "complete": True,
    "finished": True,
    "reasons": [],
    "matched": 4606,
    "missing": 1,
    "extraneous": 0,
    "different": 2,
    "excluded": 0,
    "uncomparable": 0,
    "churning": 0,
    "undecided": 0,
    "read_units": {"source": 233.5, "target": 233.0},
    "requests": {"source": 12, "target": 12},
    "items": {"source": 4608, "target": 4608},
    "segments": {"planned": 8, "finished": 8, "total": 8},
    "seed": None,
    "strata": [],
    "converged": 0,
    "notes": [],
    "causes": [],
    "tables": {
        "source": "arn:aws:dynamodb:eu-west-1:1:table/a",
        "target": "arn:aws:dynamodb:eu-west-1:1:table/b",
    },
    "started": "2026-11-30T12:00:00+00:00",
    "ended": "2026-11-30T12:01:00+00:00",
}


def diffed(folder, **changes):
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    (folder / "summary.json").write_text(json.dumps(SUMMARY | changes))
    lines = [
        {"finding": "missing", "key": {"id": {"S": TOKEN}}, "paths": []},
        *({"finding": "different", "key": {"id": {"S": TOKEN}}, "paths": ["a: value"]} for _ in range(2)),
    ]
    write_findings(folder, lines)
    return folder


# --- written --------------------------------------------------------------------------------------


def test_it_writes_a_page_into_the_folder_of_the_latest_run(config):
    folder = rich(config)

    result = report()

    assert result.exit_code == 0
    path = folder / "report.html"
    assert result.output.strip().endswith("/latest/report.html")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == making.make(folder, config).content


def test_with_json_it_says_where(config, tmp_path):
    folder = rich(config)

    document = json.loads(report("--json", folder, "--out", tmp_path / "page.html").stdout)

    assert document == {
        "command": "report",
        "exit_code": 0,
        "file": str(tmp_path / "page.html"),
        "bytes": (tmp_path / "page.html").stat().st_size,
        "sha256": making.read_origin(folder, config).sha256,
        "problems": [],
    }


def test_a_diff_needs_no_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = diffed(tmp_path / "diff")

    assert report(folder).exit_code == 0
    page = (folder / "report.html").read_text()
    assert "The tables differ: 1 key missing, 2 keys different." in page
    assert "nobody: a diff leaves no evidence" in page
    assert TOKEN not in page
    assert report(folder, "--keys").exit_code == 0
    assert TOKEN in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verdict": "equal", "missing": 0, "different": 0}, "The tables are equal: 4,606 keys match"),
        (
            {
                "verdict": "inconclusive",
                "complete": False,
                "finished": False,
                "reasons": ["it was interrupted"],
            }
            | dict.fromkeys(("matched", "missing", "different", "converged")),
            "It is not known whether the tables are equal.",
        ),
    ],
)
def test_what_a_diff_came_to(tmp_path, monkeypatch, changes, sentence):
    monkeypatch.chdir(tmp_path)
    folder = diffed(tmp_path / "diff", **changes)
    write_findings(folder, [])

    assert report(folder).exit_code == 0
    assert sentence in (folder / "report.html").read_text()


def test_damaged_findings_end_with_3_and_the_page_says_so(config):
    folder = rich(config)
    with (folder / "findings.jsonl").open("a") as file:
        file.write('{"pair": "ord')

    result = report()

    assert result.exit_code == 3
    assert "ddbverify: findings.jsonl is damaged: line 95 is cut" in said(result)
    assert "findings.jsonl is damaged: line 95 is cut" in (folder / "report.html").read_text()


@pytest.mark.parametrize("name", ["evidence.json", "pytest.ini", "migration.toml"])
def test_no_other_file_is_overwritten(config, name):
    folder = rich(config)
    path = config.folder / name if name == "migration.toml" else folder / name
    before = path.read_bytes()

    result = report("--out", path)

    assert result.exit_code == 2
    assert "is no report of ddbverify" in said(result)
    assert path.read_bytes() == before


def test_a_disk_without_room_leaves_what_was_there(config, monkeypatch):
    folder = rich(config)
    assert report().exit_code == 0
    before = sorted(path.name for path in folder.iterdir())
    content = (folder / "report.html").read_bytes()
    write_findings(folder, [])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = report()

    assert result.exit_code == 2
    assert "cannot be written" in said(result)
    assert "No space left" in said(result)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "report.html").read_bytes() == content


def test_a_place_that_cannot_be_written_to_is_one_sentence(config, tmp_path):
    rich(config)

    result = report("--out", tmp_path / "nowhere" / "page.html")

    assert result.exit_code == 2
    assert "No such file or directory" in said(result)


# --- refused --------------------------------------------------------------------------------------


def test_without_the_extra_one_sentence_names_it(config, monkeypatch):
    rich(config)
    monkeypatch.setattr(making, "is_possible", lambda: False)

    result = report()

    assert result.exit_code == 2
    assert "Jinja2, which is not installed" in said(result)
    assert "pip install 'ddbverify[report]'" in said(result)


def test_a_run_that_was_killed_has_no_report(config):
    folder = rich(config)
    (folder / "evidence.json").unlink()

    result = report(folder)

    assert (result.exit_code, list(folder.glob("*.html"))) == (5, [])
    assert "the run there has not come to its end, or was killed" in said(result)


def test_a_diff_that_was_killed_has_no_report(tmp_path):
    folder = diffed(tmp_path / "diff")
    (folder / "summary.json").unlink()

    result = report(folder)

    assert (result.exit_code, list(folder.glob("*.html"))) == (2, [])
    assert "has not come to an end" in said(result)


@pytest.mark.parametrize("content", ["{}", "[", '{"verdict": "equal"}', "[" * 5_000])
def test_a_diff_of_another_version_has_no_report(tmp_path, content):
    folder = diffed(tmp_path / "diff")
    (folder / "summary.json").write_text(content)

    result = report(folder)

    assert (result.exit_code, list(folder.glob("*.html"))) == (2, [])
    assert "is damaged, or of another version" in said(result)


def test_evidence_of_another_version_has_no_report(config):
    folder = rich(config)
    key = signing.signing_key(config)
    old = json.dumps({"schema": 1}).encode()
    (folder / "evidence.json").write_bytes(evidence.envelope.seal(old, evidence.envelope.RUN, key))

    result = report(folder)

    assert (result.exit_code, list(folder.glob("*.html"))) == (5, [])
    assert "its schema '1' is not known to this version" in said(result)


def test_evidence_that_was_altered_has_no_report(config):
    folder = rich(config)
    content = (folder / "evidence.json").read_bytes()
    (folder / "evidence.json").write_bytes(content[:-3])

    result = report("--json", folder)

    assert result.exit_code == 5
    assert json.loads(result.stdout)["error"]["type"] == "NotTrusted"


def test_a_folder_of_neither_has_no_report(config, tmp_path):
    (tmp_path / "empty").mkdir()

    assert report(tmp_path / "empty").exit_code == 5
    assert report(tmp_path / "no").exit_code == 2


# --- verified -------------------------------------------------------------------------------------


def verified(page, *arguments):
    result = report("--verify", page, *arguments)
    return result.exit_code, said(result)


def test_a_page_is_unaltered(config):
    folder = rich(config)
    report()

    code, sentence = verified(folder / "report.html")

    assert code == 0
    assert sentence.startswith("This page is unaltered, and belongs to the evidence ")


@pytest.mark.parametrize("arguments", [(), ("--keys",)])
def test_wherever_it_lies_and_whatever_it_shows(config, tmp_path, arguments):
    folder = rich(config)
    report(folder, "--out", tmp_path / "page.html", *arguments)

    assert verified(tmp_path / "page.html", folder)[0] == 0
    assert verified(tmp_path / "page.html")[0] == 0  # the latest run is meant
    document = json.loads(report("--json", "--verify", tmp_path / "page.html").stdout)
    assert (document["outcome"], document["exit_code"]) == ("unaltered", 0)


def test_no_byte_of_it_can_be_changed(config):
    folder = rich(config)
    report()
    page = folder / "report.html"
    content = page.read_bytes()

    for place in range(0, len(content), 997):
        changed = bytearray(content)
        changed[place] ^= 1
        page.write_bytes(changed)
        assert verified(page)[0] != 0, place
    page.write_bytes(content + b"\n")
    assert verified(page)[0] == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"3 of 15 checks failed", b"0 of 15 checks failed"),
        (b" Failed</h1>", b" Passed</h1>"),
        (b"30 keys are missing", b"no keys are missing"),
        (b'<td class="n">1,234,000</td>', b'<td class="n">1,234,092</td>'),
        (b"default-src &#39;none&#39;", b"default-src *"),
        (b"was the first run.</bdi>", b"was the last run.</bdi>"),
    ],
)
def test_what_is_altered_is_found(config, old, new):
    folder = rich(config)
    report()
    page = folder / "report.html"
    content = page.read_bytes()
    assert old in content
    page.write_bytes(content.replace(old, new))

    code, sentence = verified(page)

    assert code == 5
    assert "has been altered since it was made" in sentence


def test_a_page_of_another_run_is_not_this_ones(config):
    first = leave(config, good_evidence(config))
    report(first)
    second = leave(config, good_evidence(config))

    code, sentence = verified(first / "report.html", second)

    assert code == 5
    assert "is not about what is in" in sentence


def test_without_the_findings_the_rest_can_be_told(config):
    folder = rich(config)
    report()
    page = folder / "report.html"
    content = page.read_bytes()
    (folder / "findings.jsonl").unlink()

    assert verified(page) == (
        3,
        "What this page takes from the evidence is unaltered; its part on the findings cannot be told: "
        f"findings.jsonl is not in {folder.resolve()}.",
    )
    (folder / "findings.jsonl").write_text("another\n")
    code, sentence = verified(page)
    assert code == 3
    assert sentence.endswith("its part on the findings cannot be told: findings.jsonl has changed since.")
    page.write_bytes(content.replace(b"3 of 15 checks", b"0 of 15 checks"))
    assert verified(page)[0] == 5


def test_without_the_repair_json_the_rest_can_be_told(config):
    """It never leaves the machine, and the page does."""
    folder = rich(config)
    report()
    (folder / "repair.json").unlink()

    assert verified(folder / "report.html") == (
        3,
        "What this page takes from the evidence is unaltered; its part on what can be repaired cannot be "
        f"told: repair.json is not in {folder.resolve()}.",
    )


def test_a_run_without_findings_is_told_without_the_file(config):
    folder = leave(config, good_evidence(config))
    write_findings(folder, [])
    report()
    (folder / "findings.jsonl").unlink()

    assert verified(folder / "report.html")[0] == 0


def test_the_part_on_findings_ends_where_it_ends(config):
    """Nobody may draw the verdict into the part that cannot be told."""
    folder = rich(config)
    report()
    page = folder / "report.html"
    content = page.read_bytes()
    (folder / "findings.jsonl").unlink()

    start = content.index(b"<header")
    page.write_bytes(content.replace(b"<!--findings-->", b"")[:start] + b"<!--findings-->" + content[start:])
    assert verified(page)[0] == 5
    page.write_bytes(content.replace(b"<!--findings-->", b"<!--findings--><!--findings-->"))
    assert verified(page)[0] == 5


def test_later_evidence_of_a_cutover_leaves_that_part_untold(config):
    folder = rich(config)
    report()
    found = cutover.decode(cutover.path(config).read_bytes(), signing.trusted_keys(config))
    cutover.write(config, msgspec.structs.replace(found, written="2026-11-19T00:00:00.000Z"))

    code, sentence = verified(folder / "report.html")

    assert code == 3
    assert "its part on the cutover cannot be told" in sentence


def test_a_page_from_before_the_cutover_is_still_unaltered(config):
    leave(config, good_evidence(config))
    folder = leave(config, failed_evidence(config))
    report()
    page = (folder / "report.html").read_bytes()
    rich(config)
    (folder / "report.html").write_bytes(page)

    assert verified(folder / "report.html")[0] == 0


def test_where_the_log_of_the_pass_is_gone_that_part_is_untold(config):
    folder = rich(config)
    report()
    (folder / "events.jsonl").unlink()

    code, sentence = verified(folder / "report.html")

    assert code == 3
    assert "its part on how the pass went cannot be told" in sentence


def test_where_the_runs_before_it_are_gone_that_part_is_untold(config):
    folder = rich(config)
    report()
    (before,) = [one for one in folders.runs(config).iterdir() if one.name != folder.name]
    (before / "evidence.json").unlink()

    code, sentence = verified(folder / "report.html")

    assert code == 3
    assert "its part on the runs before it cannot be told" in sentence


def test_a_page_of_another_version_is_not_told(config):
    folder = rich(config)
    report()
    page = folder / "report.html"
    page.write_bytes(page.read_bytes().replace(stamp.maker().encode(), b"0" * 64))

    code, sentence = verified(page)

    assert code == 3
    assert "another version of ddbverify" in sentence


def test_a_page_of_a_diff_is_as_good_as_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = diffed(tmp_path / "diff")
    report(folder)

    code, sentence = verified(folder / "report.html")

    assert code == 3
    assert "nothing in it is signed" in sentence
    (folder / "report.html").write_bytes((folder / "report.html").read_bytes() + b" ")
    assert verified(folder / "report.html")[0] == 5


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b'<meta name="ddbverify-report" content="{}">' * 2, b"\xff"]
)
def test_what_is_no_report_is_refused(config, tmp_path, content):
    rich(config)
    (tmp_path / "page.html").write_bytes(content)

    code, sentence = verified(tmp_path / "page.html")

    assert code == 2
    assert "is no report of ddbverify, or what it says of itself was altered" in sentence


def test_its_stamp_can_be_read_by_a_person(config):
    folder = rich(config)
    content = making.make(folder, config).content.decode()

    (said_of_itself,) = re.findall(r'<meta name="ddbverify-report" content="([^"]*)">', content)

    assert json.loads(html.unescape(said_of_itself))["kind"] == "run"


def test_findings_that_were_added_to_are_another_file(config):
    folder = rich(config)
    report()
    lines = [*every_kind(failed_evidence(config).pairs[0].id), finding(1)]
    write_findings(folder, lines)

    assert verified(folder / "report.html")[0] == 3


def test_verify_writes_nothing(config):
    folder = rich(config)
    report()

    assert report("--verify", folder / "report.html", "--out", "x.html").exit_code == 2
    assert report("--verify", folder / "report.html", "--keys").exit_code == 2
