"""
Every field of the evidence, altered or dropped, one at a time.

In the file, without the key: closed, whatever the field. Signed anew by the trusted key, as a
defective or careless signer might: dropped is closed as well; altered is closed with the reason of
the table below, or the field is one of the few that inform people and decide nothing.
"""

from __future__ import annotations

import base64
import copy
import json
import re

import pytest

from ddbverify.config import load
from ddbverify.evidence import envelope, folders, signing
from ddbverify.gate import gate
from tests.ddbverify import projects
from tests.ddbverify.judged import NOW, good_evidence, leave

INFORMS = None

# Path in the document ('*': any name or number) -> code of a reason that has to be given.
REASONS = {
    "schema": "evidence",
    "run_id": "contradiction",
    "previous": INFORMS,  # decides with clean_runs > 1: test_row.py
    "tool_version": "contradiction",
    "verdict": "evidence",
    "complete": "contradiction",
    "shortcomings": "contradiction",
    "unclaimed": "evidence",  # whose state, and how many: test_unclaimed.py
    "facts": "evidence",  # of what name, about what: test_evidence.py
    "coverage": "coverage",
    "pairs": "tables",
    "pairs.*.id": "tables",
    "pairs.*.source": "evidence",
    "pairs.*.source.*": "tables",
    "pairs.*.target": "evidence",
    "pairs.*.target.*": "tables",
    "pairs.*.comparison": "coverage",
    "pairs.*.comparison.counts": "contradiction",
    "pairs.*.comparison.counts.*": "contradiction",
    "pairs.*.comparison.examined": "contradiction",
    "pairs.*.comparison.source_items": INFORMS,  # check_item_counts_agree has judged them
    "pairs.*.comparison.target_items": INFORMS,
    "pairs.*.comparison.source_read_units": INFORMS,
    "pairs.*.comparison.target_read_units": INFORMS,
    "pairs.*.comparison.requests": INFORMS,
    "pairs.*.comparison.segments_planned": "contradiction",
    "pairs.*.comparison.segments_finished": "contradiction",
    "pairs.*.comparison.segments_total": "coverage",
    "pairs.*.comparison.seed": INFORMS,
    "pairs.*.comparison.converged": INFORMS,
    "pairs.*.comparison.equal_by": "evidence",
    "pairs.*.comparison.known": "evidence",  # one that has passed its day: test_plugins.py
    "pairs.*.comparison.different_in": "evidence",  # together with `claims`: test_unclaimed.py
    "pairs.*.comparison.different_told": "contradiction",
    "pairs.*.comparison.different_by_cause": "contradiction",
    "pairs.*.comparison.notes": INFORMS,
    "pairs.*.comparison.started_epoch": "contradiction",
    "pairs.*.comparison.ended_epoch": "contradiction",
    "pairs.*.comparison.unexamined": "coverage",
    "checks": "missing",
    "checks.*.id": INFORMS,  # pytest's; the name and the pair are what is required
    "checks.*.name": "missing",
    "checks.*.pair": "missing",
    "checks.*.state": "failed",
    "checks.*.examined": INFORMS,  # but for nothing at all: test_gate.py, "passed on nothing"
    "checks.*.findings": "contradiction",
    "checks.*.tolerated": INFORMS,  # decides together with findings
    "checks.*.accepted": INFORMS,
    "checks.*.severity": "evidence",
    "checks.*.coverage": "evidence",
    "checks.*.seconds": INFORMS,
    "checks.*.only_churning": "contradiction",
    "checks.*.claims": INFORMS,  # decides where keys are missing, extraneous or different: test_unclaimed.py
    "checks.*.why": INFORMS,
    "digests": "evidence",
    "digests.configuration": "changed",
    "digests.checks": "changed",
    "digests.program": "changed",
    "digests.transforms": "changed",
    "plugins": "contradiction",
    "plugins.*": "changed",
    "extensions": "evidence",  # another plugin: test_plugins.py
    "identities": "contradiction",
    "identities.*": INFORMS,
    "endpoints": "contradiction",
    "endpoints.*": "contradiction",
    "emulator": "emulator",
    "started_epoch": "contradiction",
    "ended_epoch": "stale",
    "valid_until_epoch": "stale",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with an open gate, its key, its folder, and the document that opens it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("fields")
        file = projects.make_project(folder)
        projects.stand_in(folder, patch)
        config = load(file)
        run = leave(config, good_evidence(config))
        content = (run / folders.EVIDENCE).read_bytes()
        key = signing.signing_key(config)
        document = json.loads(envelope.open_envelope(content, envelope.RUN, (key.public,)))
        assert gate.judge(config, now=NOW).open
        yield config, key, run / folders.EVIDENCE, content, document


def paths_of(value, path=()):
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from paths_of(one, (*path, name))


def altered(path, value):  # noqa: C901 - a table
    """Another value of the same kind; of a container, an empty or a larger one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + (99 if path != ("ended_epoch",) else -9999)
        case str() if re.fullmatch(r"[0-9a-f]{64}", value):
            return value[::-1]
        case str() if path[-1] == "run_id":
            return "20200101T000000Z" + value[16:]
        case str() if path[-1] == "coverage":
            return "5%"
        case str() if path[-1] == "state":
            return "failed"
        case str():
            return value + "x"
        case None:
            return {"seed": 5, "previous": "none left"}.get(path[-1], "another")
        case [] if path[-1] == "transforms":
            return {"a:b": "0" * 64}
        case []:
            return ["something"]
        case list():
            return []
        case {} if path[-1] == "transforms":
            return {"a:b": "0" * 64}
        case dict():
            return None if path[-1] == "comparison" else {}
    raise AssertionError(path)


def pattern_of(path):
    """The entry of the table that a path falls under."""
    names = [str(name) for name in path]
    fitting = [
        pattern
        for pattern in REASONS
        if len(parts := pattern.split(".")) == len(names)
        and all(part in ("*", name) for part, name in zip(parts, names, strict=True))
    ]
    return fitting[0] if fitting else None


def change(document, path, *, drop):
    changed = copy.deepcopy(document)
    place = changed
    for name in path[:-1]:
        place = place[name]
    if drop:
        del place[path[-1]]
    else:
        if path[-1] == "valid_until_epoch":
            place[path[-1]] = NOW - 1
        else:
            place[path[-1]] = altered(path, place[path[-1]])
    return changed


def encoded(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def codes(config, file, content):
    file.write_bytes(content)
    decision = gate.judge(config, now=NOW)
    assert decision.open is (not decision.reasons)
    return {reason.code for reason in decision.reasons}


def test_json_as_written_here_is_as_the_evidence_writes_it(project):
    config, key, file, _content, document = project
    assert codes(config, file, envelope.seal(encoded(document), envelope.RUN, key)) == set()


def test_no_field_can_be_altered_or_dropped_without_the_key(project):
    config, _, file, content, document = project
    sealed = json.loads(content)
    for path in paths_of(document):
        for drop in (True, False):
            payload = base64.b64encode(encoded(change(document, path, drop=drop))).decode()
            forged = json.dumps(sealed | {"payload": payload}, indent=2).encode() + b"\n"
            assert codes(config, file, forged) == {"evidence"}, path


def test_every_field_stands_in_the_table(project):
    paths = [path for path in paths_of(project[-1]) if not (len(path) == 2 and isinstance(path[1], int))]

    unknown = [path for path in paths if pattern_of(path) is None]
    assert unknown == [], "a new field: say in REASONS what altering it does, and in docs/evidence.md"
    assert {pattern_of(path) for path in paths} == set(REASONS)


def test_no_field_can_be_left_out_even_with_the_key(project):
    config, key, file, _content, document = project
    seen = set()
    for path in paths_of(document):
        pattern = pattern_of(path)
        if pattern is None or pattern in seen or pattern.endswith("*"):
            continue  # an entry of a list or of a free mapping: altered below
        seen.add(pattern)
        dropped = change(document, path, drop=True)
        assert codes(config, file, envelope.seal(encoded(dropped), envelope.RUN, key)) == {"evidence"}, path
    assert len(seen) > 40


def test_each_field_altered_with_the_key_closes_the_gate_with_its_reason_or_decides_nothing(project):
    config, key, file, _content, document = project
    seen = set()
    for path in paths_of(document):
        pattern = pattern_of(path)
        if pattern is None or (pattern in seen and not pattern.endswith("*")):
            continue
        seen.add(pattern)
        changed = change(document, path, drop=False)
        found = codes(config, file, envelope.seal(encoded(changed), envelope.RUN, key))
        expected = REASONS[pattern]
        assert (found == set()) if expected is INFORMS else (expected in found), (path, found)


def test_no_pair_and_no_check_can_be_left_out_even_with_the_key(project):
    config, key, file, _content, document = project
    for name, code in (("pairs", "tables"), ("checks", "missing")):
        for number in range(len(document[name])):
            changed = change(document, (name, number), drop=True)
            assert code in codes(config, file, envelope.seal(encoded(changed), envelope.RUN, key))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"complete":true', '"complete":false,"complete":true'),
        ('"complete":true', '"complete": true'),
        ('"complete":true', '"complete":1'),
        ('"complete":true', '"complete":"true"'),
        ('"complete":true', '"complete":true,"extra":null'),
        ('"complete":true', '"\\u0063omplete":true'),
        ('"examined":3', '"examined":3.0'),
        ('"examined":3', '"examined":"3"'),
        ('"examined":3', '"examined":-3'),
        ('"examined":3', '"examined":1e400'),
        ('"examined":3', '"examined":NaN'),
        ('"examined":3', f'"examined":{"9" * 5000}'),
        ('"schema":2', '"schema":2.0'),
        ('"schema":2', '"schema":1'),
        ('"schema":2', '"schema":true'),
        ('"schema":2', '"schema":' + "[" * 9000 + "]" * 9000),
        ('"verdict":"passed"', '"verdict":"PASSED"'),
        ('"verdict":"passed"', '"verdict":"p\\u0430ssed"'),
        ('"coverage":"full"', '"coverage":"\\uff46ull"'),
    ],
)
def test_tricks_of_spelling_close_it_even_with_the_key(project, old, new):
    config, key, file, _content, document = project
    text = encoded(document).decode()
    assert old in text

    found = codes(config, file, envelope.seal(text.replace(old, new, 1).encode(), envelope.RUN, key))

    assert found == {"evidence"}
