"""
The gate against its rules, said once more and plainly: it opens where they all hold, and nowhere else.

Histories of several things going wrong at once are drawn; what `may_open` says has to be what the
gate does. And whatever becomes of single bytes of the file, it never opens.
"""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ddbverify.config import load
from ddbverify.evidence import folders, signing
from ddbverify.evidence.envelope import RUN, seal
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.pipeline.health import PipelineHealth
from tests.ddbverify import projects
from tests.ddbverify.judged import ENDED, NOW, good_evidence, leave, run_id
from tests.ddbverify.keys import ed25519_key

replace = msgspec.structs.replace

POLICY = st.fixed_dictionaries(
    {
        "required": st.sampled_from([["*"], ["check_counts.py::*"], ["check_every_item*", "check_no_key*"]]),
        "max_age": st.sampled_from([3600, 300, 299]),
        "churning": st.booleans(),
        "emulator": st.booleans(),
    }
)
FINE = {
    "states": {},  # number of the check -> state, where it has not passed
    "examined": 3,
    "counts": {},
    "segments": (2, 2, 2),
    "shortcomings": (),
    "age": 300,
    "emulator": False,
    "target_id": "id-of-orders-v2",
    "program": None,
    "key": None,
    "pipeline": (),
    "fence": None,
}
# What can be otherwise; at most three things at once, so that the gate has a chance to open.
OTHERWISE = {
    "states": st.dictionaries(st.integers(0, 11), st.sampled_from(CheckState), min_size=1, max_size=2),
    "examined": st.sampled_from([1, 0]),
    "counts": st.fixed_dictionaries(
        {},
        optional={
            name: st.integers(0, 2)
            for name in ("churning", "undecided", "uncomparable", "excluded", "missing")
        },
    ),
    "segments": st.sampled_from([(1, 2, 2), (1, 1, 2), (0, 0, 0), (9, 9, 9)]),
    "shortcomings": st.just(("killed",)),
    "age": st.sampled_from([0, 299, 301, 3601, -60]),
    "emulator": st.just(True),
    "target_id": st.just("anew"),
    "program": st.just("0" * 64),
    "key": st.just(ed25519_key(9)),
    "pipeline": st.just(("a gap is latched",)),
    "fence": st.sampled_from([40, 30, 29]),
}
WORLD = st.lists(
    st.one_of([st.tuples(st.just(name), values) for name, values in OTHERWISE.items()]), max_size=3
).map(lambda changes: FINE | dict(changes))

SHOWN = {CheckState.PASSED, CheckState.NOT_APPLICABLE}  # by itself, or by another check


def may_open(policy, world, names):
    """The rules, without the program's help."""
    import fnmatch

    def is_required(name):
        function = name.split("::")[1]
        return any(
            fnmatch.fnmatchcase(whole, one) for one in policy["required"] for whole in (name, function)
        )

    return (
        world["key"] is None  # signed by the trusted key
        and world["target_id"] == "id-of-orders-v2"  # these very tables
        and world["program"] is None  # this very program
        and 0 <= world["age"] <= policy["max_age"]
        and (world["fence"] is None or world["fence"] >= 30)  # the run took 30 s; seconds since the fence
        and (policy["emulator"] or not world["emulator"])
        and not world["shortcomings"]
        and world["segments"] in ((2, 2, 2), (9, 9, 9))
        and not world["counts"].get("undecided")
        and not world["counts"].get("uncomparable")
        and not world["counts"].get("missing")  # which no check of this evidence claims
        and (policy["churning"] or not world["counts"].get("churning"))
        and world["examined"] > 0
        and all(state in SHOWN or not is_required(names[number]) for number, state in world["states"].items())
        and not world["pipeline"]
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("rules")
        file = projects.make_project(folder)
        projects.stand_in(folder, patch)
        config = load(file)
        run = leave(config, good_evidence(config))
        patch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: PipelineHealth(exists=True))
        artifact = folder / "artifact"  # its folder need not be called as what is written into it
        run.rename(artifact)
        folders.latest(config).unlink()
        assert gate.judge(config, artifact, now=NOW).open
        yield config, artifact / folders.EVIDENCE


def evidence_of(config, world):
    found = good_evidence(config)
    ended = NOW - world["age"]
    counts = {"matched": 3} | world["counts"]
    finished, planned, total = world["segments"]
    pair = found.pairs[0]
    read = replace(
        pair.comparison,
        counts=counts,
        examined=sum(counts.values()) - counts.get("undecided", 0),
        segments_finished=finished,
        segments_planned=planned,
        segments_total=total,
        started_epoch=ended - 20,
        ended_epoch=ended - 19,
    )
    checks = tuple(
        replace(check, state=world["states"].get(number, CheckState.PASSED), examined=world["examined"])
        for number, check in enumerate(found.checks)
    )
    states, complete = {check.state for check in checks}, not world["shortcomings"]
    shown = CheckState.PASSED in states and states <= SHOWN
    verdict = "passed" if shown and complete else "inconclusive"
    endpoint = "http://127.0.0.1:1" if world["emulator"] else "https://dynamodb.eu-west-1.amazonaws.com"
    return replace(
        found,
        pairs=(replace(pair, comparison=read, target=replace(pair.target, id=world["target_id"])),),
        checks=checks,
        verdict="failed" if CheckState.FAILED in states else verdict,
        complete=complete,
        shortcomings=world["shortcomings"],
        emulator=world["emulator"],
        endpoints=found.endpoints | {"source": endpoint},
        digests=replace(found.digests, program=world["program"] or found.digests.program),
        run_id=run_id(ended - 30),
        started_epoch=ended - 30,
        ended_epoch=ended,
        valid_until_epoch=ended + 3600,
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy=POLICY, world=WORLD)
def test_the_gate_opens_exactly_where_its_rules_say_so(project, policy, world):
    config, file = project
    settings_now = replace(
        config.gate,
        required=tuple(policy["required"]),
        max_age=type(config.gate.max_age)(policy["max_age"]),
        churning=policy["churning"],
        emulator=policy["emulator"],
    )
    config = replace(config, gate=settings_now)
    found = evidence_of(config, world)
    key = world["key"] or signing.signing_key(config)
    file.write_bytes(seal(msgspec.json.encode(found), RUN, key))
    health = PipelineHealth(exists=True, problems=world["pipeline"])
    fence = None if world["fence"] is None else found.ended_epoch - world["fence"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: health)
        decision = gate.judge(config, file.parent, not_before=fence, now=NOW)

    names = [check.name for check in found.checks]
    event("open" if decision.open else "closed")
    assert decision.open is may_open(policy, world, names), decision.reasons
    assert (decision.exit_code == 0) is decision.open
    assert decision.exit_code == max((reason.exit_code for reason in decision.reasons), default=0)
    json.dumps(decision.as_json())


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_whatever_becomes_of_single_bytes_it_never_opens(project, data):
    config, file = project
    found = good_evidence(config, run_id=run_id())
    content = seal(msgspec.json.encode(found), RUN, signing.signing_key(config))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(["flip", "delete", "insert", "double"])):
            case "flip":
                changed[place] ^= 1 << data.draw(st.integers(0, 7))
            case "delete":
                del changed[place : place + data.draw(st.integers(1, 30))]
            case "insert":
                changed[place:place] = data.draw(st.binary(min_size=1, max_size=8))
            case "double":
                changed[place:place] = changed[place : place + data.draw(st.integers(1, 60))]
        if not changed:
            break
    file.write_bytes(bytes(changed))

    assert gate.judge(config, file.parent, now=ENDED + 1).open is (bytes(changed) == content)
