"""A run that has looked at changes only stands on a full pass, without a gap; else the gate stays closed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace as replaced
from datetime import date

import msgspec
import pytest

from ddbverify.changes.places import ENDED, Place, Places
from ddbverify.compare.comparison import KnownKeys
from ddbverify.config import load
from ddbverify.evidence import folders, signing
from ddbverify.evidence.evidence import verdict_of
from ddbverify.evidence.links import Link, PairPlaces, link_of, places_of
from ddbverify.evidence.record import CheckState, Fact
from ddbverify.gate import gate, links
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.plugins.loading import PluginRecord, Plugins
from ddbverify.suite.definitions import defined_checks
from tests.ddbverify import projects
from tests.ddbverify.judged import NOW, good_evidence, leave, run_id

replace = msgspec.structs.replace

HOUR = 3600.0
PLACES = PairPlaces(
    Places("arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/1", 0, {"shard-0": ENDED}),
    Places("arn:aws:dynamodb:eu-west-1:123456789012:table/o2/stream/1", 0, {"shard-0": Place.since(7)}),
    "source: off; target: off",
)


def taken(epoch, places=PLACES):
    return PairPlaces(
        replaced(places.source, taken_epoch=int(epoch)),
        replaced(places.target, taken_epoch=int(epoch)),
        places.ttl,
    )


class Chain:
    """A migration whose base was made two hours ago, and links that go on from it, an hour ago and now."""

    def __init__(self, folder):
        self.file = projects.make_project(folder)
        self.config = load(self.file)
        (self.pair,) = self.config.tables
        self.good = good_evidence(self.config)
        self.folders, self.digests, self.base = [], [], ""

    def run(self, ended, *, link=True, places=None, facts=(), alter=lambda found: {}, said=None):
        """Leave the evidence of a run that passed, but for what *alter* changes of it."""
        (pair,) = self.good.pairs
        read = replace(pair.comparison, started_epoch=ended - 20, ended_epoch=ended - 19)
        where = [*(places or taken(ended - 25)).facts(self.pair.id)] if places is not False else []
        since = []
        if link:
            read = replace(
                read,
                counts={"matched": 2},
                examined=2,
                segments_planned=0,
                segments_finished=0,
                segments_total=5,
            )
            since = [*(said or Link(self.digests[-1], self.base, 10.0)).facts({self.pair.id: 2})]
        found = replace(
            self.good,
            run_id=run_id(ended - 30),
            started_epoch=ended - 30,
            ended_epoch=ended,
            valid_until_epoch=ended + HOUR,
            pairs=(replace(pair, comparison=read),),
            facts=(*since, *where, *facts),
        )
        self.folders.append(leave(self.config, replace(found, **alter(found))))
        content = (self.folders[-1] / folders.EVIDENCE).read_bytes()
        self.digests.append(hashlib.sha256(content).hexdigest())
        self.base = self.base or self.digests[-1]

    def judged(self, **options):
        return gate.judge(load(self.file), self.folders[-1], now=NOW, **options)

    def reasons(self, **options):
        return [(reason.code, reason.message) for reason in self.judged(**options).reasons]


@pytest.fixture
def chain(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    return Chain(tmp_path)


def test_base_and_links_open_the_gate(chain):
    chain.run(NOW - 2 * HOUR, link=False)
    chain.run(NOW - HOUR)
    chain.run(NOW - 60)

    assert chain.reasons() == []


def _looked_at_nothing(found):
    checks = tuple(replace(check, examined=0) for check in found.checks)
    pair = found.pairs[0]
    read = replace(pair.comparison, counts={}, examined=0)
    facts = tuple(replace(one, value=0) if one.name == "changed" else one for one in found.facts)
    return {"checks": checks, "pairs": (replace(pair, comparison=read),), "facts": facts}


def test_a_link_without_changes_has_examined_nothing_and_opens_it_as_well(chain):
    chain.run(NOW - HOUR, link=False)
    chain.run(NOW - 60, alter=_looked_at_nothing)

    assert chain.reasons() == []


def test_a_full_pass_that_examined_nothing_does_not(chain):
    chain.run(
        NOW - 60,
        link=False,
        alter=lambda found: {"checks": (replace(found.checks[0], examined=0), *found.checks[1:])},
    )

    assert [code for code, _ in chain.reasons()] == ["vacuous"]


def _failed(found):
    checks = (replace(found.checks[0], state=CheckState.FAILED, findings=1), *found.checks[1:])
    return {"checks": checks, "verdict": verdict_of(checks, complete=True)}


def _incomplete(found):
    return {"complete": False, "shortcomings": ("it was interrupted",), "verdict": "inconclusive"}


def _tolerated(found):
    """Three of its findings were allowed; how many there are with the link's, only a full pass says."""
    checks = (replace(found.checks[0], findings=3, tolerated=5), *found.checks[1:])
    return {"checks": checks}


def _another_check_failed(found):
    """One that [gate] required does not name."""
    other = replace(
        found.checks[0], id="check_own.py::check_other", name="check_own.py::check_other", pair=None
    )
    checks = (*found.checks, replace(other, state=CheckState.FAILED, findings=1))
    return {"checks": checks, "verdict": verdict_of(checks, complete=True)}


def _of_another_program(found):
    return {"digests": replace(found.digests, program="0" * 64)}


def _a_sample(found):
    pair = found.pairs[0]
    read = replace(pair.comparison, segments_planned=1, segments_finished=1, segments_total=9)
    return {"pairs": (replace(pair, comparison=read),)}


BROKEN = {
    "the base failed": ({"alter": _failed}, {}, "has not passed"),
    "the base was interrupted": ({"alter": _incomplete}, {}, "has not passed"),
    "the base tolerated findings": ({"alter": _tolerated}, {}, "tolerated 3 findings"),
    "a check of the link reads all": ({}, {"facts": [("whole", "pair.comparison")]}, "as a whole"),
    "the base was a sample": ({"alter": _a_sample}, {}, "has not passed"),
    "the base was another program's": ({"alter": _of_another_program}, {}, "other tables, settings, checks"),
    "the base names no places": ({"places": False}, {}, "names no places"),
    "the base says why it names none": (
        {"places": False, "facts": [("no-places", "the target has no stream")]},
        {},
        "the target has no stream",
    ),
    "a check of the base reads all": (
        {"facts": [("whole", "pair.comparison")]},
        {},
        "reads the comparison as a whole",
    ),
    "the link names no places": ({}, {"places": False}, "does not say how far"),
    "another stream": (
        {},
        {
            "places": replaced(
                taken(NOW - 90), source=replaced(PLACES.source, stream_arn="arn:other", taken_epoch=int(NOW))
            )
        },
        "the stream of the source is another one",
    ),
    "other expiry": ({}, {"places": replaced(taken(NOW - 90), ttl="source: x; target: off")}, "expire"),
    "a day lies between": ({"places": taken(NOW - 25 * HOUR)}, {}, "more than 23 hours"),
    "read before the base": ({"places": taken(NOW)}, {"places": taken(NOW - 90)}, "more than 23 hours"),
    "of no run": ({}, {"said": Link("0" * 64, "0" * 64, 10.0)}, "is not here"),
    "on another base": ({}, {"said": "another base"}, "another full pass"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_whatever_breaks_the_chain_closes_the_gate(chain, what):
    base, link, said = BROKEN[what]
    about = {"whole": chain.good.checks[0].id}
    facts = [
        Fact(name=name, about=about.get(name, chain.pair.id), value=value)
        for name, value in base.get("facts", ())
    ]
    chain.run(NOW - HOUR, link=False, **base | {"facts": facts})
    if "facts" in link:
        link = {"facts": [Fact(name=name, about=about[name], value=value) for name, value in link["facts"]]}
    if link.get("said") == "another base":
        link = {"said": Link(chain.digests[-1], "0" * 64, 10.0)}
    chain.run(NOW - 60, **link)

    (reason,) = chain.reasons()
    assert reason[0] == "chain"
    assert said in reason[1]
    assert reason[1].endswith("run again without --since.")


def _empty(found):
    pair = found.pairs[0]
    read = replace(pair.comparison, counts={}, examined=0)
    checks = tuple(replace(check, examined=0) for check in found.checks)
    empty = Fact(name="empty", about=pair.id, value="may_be_empty = true")
    return {"pairs": (replace(pair, comparison=read),), "checks": checks, "facts": (*found.facts, empty)}


def test_what_a_check_covers_was_shown_by_no_base_whose_tables_were_empty(chain):
    """There was nothing to alter, so a check that notices nothing has passed its controls."""
    chain.file.write_text(projects.TOML.rstrip() + "\nmay_be_empty = true\n")
    chain.config = load(chain.file)
    chain.good = good_evidence(chain.config)
    chain.run(NOW - 2 * HOUR, link=False, alter=_empty)
    chain.run(NOW - HOUR, alter=_looked_at_nothing)
    assert chain.reasons() == []
    chain.run(NOW - 60)
    (reason,) = chain.reasons()
    assert reason[0] == "chain"
    assert "were empty" in reason[1]


def test_a_base_that_does_not_count_any_more_is_not_mended_by_another_link(chain, monkeypatch):
    chain.run(NOW - HOUR, link=False)
    chain.run(NOW - 60)
    health = PipelineHealth(exists=True, following_since=NOW - HOUR + 5)
    monkeypatch.setattr(gate.pipeline, "health", lambda *_: health)

    (reason,) = chain.reasons()
    assert reason[0] == "before-following"
    assert reason[1].endswith("run again without --since.")


def test_a_base_that_failed_is_none_also_where_no_gate_asks_for_the_check_that_did(chain):
    """A full pass would fail in it again, and a run that says "passed" would not have looked."""
    chain.file.write_text(projects.TOML + '[gate]\nrequired = ["check_keys.py::*"]\n')
    chain.config = load(chain.file)
    chain.good = good_evidence(chain.config)
    chain.run(NOW - HOUR, link=False, alter=_another_check_failed)
    assert chain.reasons() == []
    chain.run(NOW - 60)

    (reason,) = chain.reasons()
    assert reason[0] == "chain"
    assert "has not passed" in reason[1]


@pytest.mark.parametrize("gone", ["deleted", "cut", "another"])
def test_the_base_has_to_be_there(chain, gone):
    chain.run(NOW - 2 * HOUR, link=False)
    chain.run(NOW - HOUR)
    chain.run(NOW - 60)
    base, middle = (folder / folders.EVIDENCE for folder in chain.folders[:2])
    if gone == "deleted":
        base.unlink()
    elif gone == "cut":
        base.write_bytes(base.read_bytes()[:-5])
    else:
        base.write_bytes(middle.read_bytes())

    assert "chain" in [code for code, _ in chain.reasons()]


def test_a_run_between_that_failed_is_none_to_go_on_from_but_the_one_before_it_is(chain):
    """What somebody else has written is not forgotten because a link has reported it."""
    chain.run(NOW - 3 * HOUR, link=False)
    passed = chain.digests[-1]
    chain.run(NOW - 2 * HOUR, alter=_failed)
    chain.run(NOW - HOUR)
    assert "has not passed" in dict(chain.reasons())["chain"]

    chain.run(NOW - 60, said=Link(passed, passed, 10.0))
    assert chain.reasons() == []


def test_keys_that_never_held_still_are_met_again_by_the_next_link(chain):
    def churning(found):
        checks = (
            replace(found.checks[0], state=CheckState.INCONCLUSIVE, only_churning=True),
            *found.checks[1:],
        )
        pair = found.pairs[0]
        read = replace(pair.comparison, counts={"matched": 2, "churning": 1}, examined=3)
        return {"checks": checks, "pairs": (replace(pair, comparison=read),), "verdict": "inconclusive"}

    chain.run(NOW - 2 * HOUR, link=False, alter=churning)
    chain.run(NOW - HOUR, alter=churning)
    assert {code for code, _ in chain.reasons()} == {"inconclusive", "churning", "incomplete"} - {
        "incomplete"
    }

    chain.run(NOW - 60)
    assert chain.reasons() == []


def test_a_base_that_is_too_old_is_no_base(chain):
    chain.run(NOW - 8 * 24 * HOUR, link=False)
    for days in range(8, 0, -1):
        for hours in (12, 0):
            chain.run(NOW - (days - 1) * 24 * HOUR - hours * HOUR - 60)
    (reason,) = chain.reasons()
    assert reason[0] == "base"

    chain.file.write_text(projects.TOML + '[verification]\nmax_base_age = "9d"\n')
    assert "base" not in dict(chain.reasons())


def test_each_run_of_a_long_chain_is_looked_at_once(chain, monkeypatch):
    """Where the base has become too old, each link is tried, and each goes through all before it."""
    chain.run(NOW - 40 * HOUR, link=False)
    for hours in range(39, 19, -1):
        chain.run(NOW - hours * HOUR)
    decoded = []
    decode = links.documents.decode
    monkeypatch.setattr(links.documents, "decode", lambda *given: decoded.append(1) or decode(*given))
    trusted = signing.trusted_keys(chain.config)
    defined = defined_checks(folders.checks_folder(chain.config), Plugins(chain.config))
    later = NOW + 30 * 24 * HOUR

    chains = links.Chains(chain.config, trusted, defined, later, folders.runs(chain.config))
    assert "max_base_age" in chains.newest(links.candidates(chain.config))
    assert len(decoded) <= 3 * 22


def test_a_difference_that_the_base_accepted_counts_from_its_day_on(chain):
    def known(found):
        pair = found.pairs[0]
        one = KnownKeys(plugin="acme", reason="ticket 7", expires=date(2020, 1, 1), keys=1)
        read = replace(pair.comparison, counts={"matched": 2, "known": 1}, known=(one,))
        return {"pairs": (replace(pair, comparison=read),)}

    plugin = PluginRecord(name="acme", origin="entry-point", digest="0" * 64, hooks=("ddbverify_known",))
    chain.good = replace(chain.good, extensions=(plugin,))
    chain.run(NOW - HOUR, link=False, alter=known)
    chain.run(NOW - 60)

    assert dict(chain.reasons()).keys() == {"known", "changed"}  # the plugin is not here


def test_what_the_base_let_pass_is_shown_of_its_links_as_well(chain):
    """Nobody shall overlook it, and a link has not looked at these keys."""
    chain.file.write_text(projects.TOML + '[gate]\nunclaimed = ["extraneous"]\n')
    chain.config = load(chain.file)
    plugin = PluginRecord(name="acme", origin="entry-point", digest="0" * 64, hooks=("ddbverify_known",))
    chain.good = replace(good_evidence(chain.config), extensions=(plugin,))

    def let_pass(found):
        pair = found.pairs[0]
        one = KnownKeys(plugin="acme", reason="ticket 7", expires=date(2099, 1, 1), keys=1)
        counted = {"matched": 2, "known": 1, "extraneous": 4}
        read = replace(pair.comparison, counts=counted, examined=7, known=(one,))
        pairs = (replace(pair, comparison=read),)
        left = unclaimed(chain.config.gate, pairs, found.checks)
        return {"pairs": pairs, "unclaimed": left, "verdict": verdict_of(found.checks, complete=True)}

    chain.run(NOW - HOUR, link=False, alter=let_pass)
    chain.run(NOW - 60)

    decision = chain.judged()
    assert [one.reason for one in decision.known] == ["ticket 7"]
    assert [(one.state, one.keys) for one in decision.unclaimed] == [("extraneous", 4)]


def test_under_a_fence_the_streams_have_to_have_been_silent_for_as_long_as_asked(chain):
    chain.run(NOW - HOUR, link=False)
    chain.run(NOW - 60, said=Link(chain.digests[-1], chain.base, 9.0))

    assert chain.reasons() == []
    assert dict(chain.reasons(not_before=NOW - 100)).keys() == {"chain"}
    chain.run(NOW - 50, said=Link(chain.base, chain.base, 10.0))
    assert chain.reasons(not_before=NOW - 100) == []


@pytest.mark.parametrize("link", [True, False])
def test_a_run_is_of_the_kind_that_it_says(chain, link):
    def other_kind(found):
        pair = found.pairs[0]
        planned = 5 if link else 0
        read = replace(pair.comparison, segments_planned=planned, segments_finished=planned, segments_total=5)
        return {"pairs": (replace(pair, comparison=read),)}

    chain.run(NOW - HOUR, link=False)
    chain.run(NOW - 60, link=link, alter=other_kind)

    assert "contradiction" in dict(chain.reasons())


def test_clean_runs_in_a_row_may_be_links(chain):
    chain.file.write_text(projects.TOML + "[gate]\nclean_runs = 3\n")
    chain.config = load(chain.file)
    chain.good = good_evidence(chain.config)
    chain.run(NOW - 2 * HOUR, link=False)
    chain.run(NOW - HOUR)
    assert [code for code, _ in chain.reasons()] == ["clean-runs"]
    chain.run(NOW - 60)

    assert chain.reasons() == []


def test_facts_are_read_back_as_they_were_stated(chain):
    chain.run(NOW - HOUR, link=False)
    said = Link(chain.base, chain.base, 10.0)
    found = replace(chain.good, facts=(*said.facts({chain.pair.id: 2}), *PLACES.facts(chain.pair.id)))

    assert link_of(found) == said
    assert places_of(found, chain.pair.id) == PLACES
    assert places_of(chain.good, chain.pair.id) is None


def test_only_the_runs_that_a_chain_needs_are_read(chain, monkeypatch):
    """A migration leaves hundreds of runs, and `--since latest` verified the signatures of all of them."""
    for hours in range(9, 1, -1):
        chain.run(NOW - hours * HOUR, link=False)
    chain.base = chain.digests[-1]
    chain.run(NOW - HOUR)
    decoded, read = [], []
    decode, content = links.documents.decode, links.row.content
    monkeypatch.setattr(links.documents, "decode", lambda *given: decoded.append(1) or decode(*given))
    monkeypatch.setattr(links.row, "content", lambda path: read.append(1) or content(path))

    assert newest(chain)[1] == chain.digests[-1]
    assert len(decoded) <= 3
    assert len(read) <= 3


def newest(chain):
    trusted = signing.trusted_keys(chain.config)
    defined = defined_checks(folders.checks_folder(chain.config), Plugins(chain.config))
    chains = links.Chains(chain.config, trusted, defined, NOW, folders.runs(chain.config))
    return chains.newest(links.candidates(chain.config))


def test_of_runs_of_one_second_the_one_that_began_last_is_the_newest(chain):
    for half in range(6):
        chain.run(NOW - HOUR + half / 10, link=False)

    assert newest(chain)[1] == chain.digests[-1]


def test_a_run_that_lies_elsewhere_is_found_by_its_link(chain, tmp_path):
    chain.run(NOW - 2 * HOUR, link=False)
    chain.run(NOW - HOUR, link=False)
    last = chain.folders[-1]
    last.rename(tmp_path / "elsewhere")
    last.symlink_to(tmp_path / "elsewhere")

    assert newest(chain)[1] == chain.digests[-1]


# --- a base that was read from exports ----------------------------------------------------------


def of_exports(chain, *moments, roles=("source", "target")):
    """What evidence says of sides that were read from exports of these moments."""
    lines = tuple(json.dumps({"export_arn": "arn:x", "until": moment}) for moment in moments)
    return [Fact(name=f"{role}-export", about=chain.pair.id, value=lines) for role in roles]


def test_changes_since_exports_open_a_gate_that_the_exports_do_not(chain):
    made = NOW - 3 * HOUR
    chain.run(NOW - 2 * HOUR, link=False, places=taken(made - 60), facts=of_exports(chain, made))
    assert {code for code, _ in chain.reasons()} == {"exports", "stale"}
    assert "--since latest" in chain.reasons()[0][1]
    chain.run(NOW - 60)

    assert chain.reasons() == []


@pytest.mark.parametrize("roles", [("source",), ("target",)])
def test_one_side_may_be_an_export(chain, roles):
    made = NOW - 3 * HOUR
    facts = of_exports(chain, made - HOUR, made, roles=roles)
    chain.run(NOW - 2 * HOUR, link=False, places=taken(made - 60), facts=facts)
    chain.run(NOW - 60)

    assert chain.reasons() == []


@pytest.mark.parametrize("roles", [("source",), ("target",)])
@pytest.mark.parametrize("moments", [(), (None,), ("soon",), (NOW - 3 * HOUR - 1,), (NOW - 3 * HOUR, None)])
def test_places_that_lie_behind_an_export_are_nothing_to_go_on_from(chain, roles, moments):
    """What was written between the export and the places nobody would look at."""
    places = taken(NOW - 3 * HOUR - 60)
    chain.run(NOW - 2 * HOUR, link=False, places=places, facts=of_exports(chain, *moments, roles=roles))
    chain.run(NOW - 60)

    ((code, message),) = chain.reasons()
    assert code == "chain"
    assert "its places in the stream are of later" in message


def test_a_base_of_exports_without_places_says_why(chain):
    why = Fact(name="no-places", about=chain.pair.id, value="its source is read from an export: x")
    facts = [*of_exports(chain, NOW - 3 * HOUR), why]
    chain.run(NOW - 2 * HOUR, link=False, places=False, facts=facts)
    chain.run(NOW - 60)

    ((code, message),) = chain.reasons()
    assert (code, "its source is read from an export: x" in message) == ("chain", True)


def test_a_base_is_as_old_as_its_exports(chain):
    chain.file.write_text(projects.TOML + '[verification]\nmax_base_age = "150m"\n')
    chain.run(NOW - 2 * HOUR, link=False, places=taken(NOW - 3 * HOUR - 60))
    chain.run(NOW - HOUR)
    assert chain.reasons() == []
    chain.base, chain.digests = "", []
    facts = of_exports(chain, NOW - 3 * HOUR)
    chain.run(NOW - 1.9 * HOUR, link=False, places=taken(NOW - 3 * HOUR - 60), facts=facts)
    chain.run(NOW - 60)

    assert [code for code, _ in chain.reasons()] == ["base"]
