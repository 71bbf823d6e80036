"""What a page says, to whom it says it, and what it is made of."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import json
import re
from typing import Any

import msgspec
import pytest

from ddbverify.config import load
from ddbverify.evidence import folders, repairs
from ddbverify.evidence.events import Event, Events
from ddbverify.evidence.links import Link
from ddbverify.evidence.record import CheckState, Fact
from ddbverify.page import course, making, plots, told, view
from ddbverify.page.origin import Earlier, Origin
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence, leave
from tests.ddbverify.pages import HOSTILE, STEPS, TOKEN, failed_evidence, finding, rich, write_findings


class Seen(html.parser.HTMLParser):
    """Elements, attributes and text, as a browser takes them."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br", "rect"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            self.inside[self._open[-1]] = data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def config(tmp_path):
    return load(projects.make_project(tmp_path))


def seen(folder, config, **how):
    return Seen(making.make(folder, config, **how).content)


def test_the_first_screen_of_a_run_that_failed(config):
    folder = rich(config)

    page = seen(folder, config)

    assert "3 of 15 checks failed: 30 keys missing, 2 keys extraneous, 60 keys different." in page.text
    assert "check_every_item_is_equal" in page.text
    assert "30 keys are missing, and no check of this run looks at missing keys." in page.text
    assert 'leave them to yourself: [gate] unclaimed = ["missing"].' in page.text
    assert "4 keys accepted by the plugin rounding until 2027-01-31" in page.text
    evidence = (folder / folders.EVIDENCE).read_bytes()
    assert hashlib.sha256(evidence).hexdigest() in page.text
    assert "This page opens nothing." in page.text


def test_what_follows_it(config):
    page = seen(rich(config), config)

    assert "17 keys differed at first sight and converged, 92 stayed different" in page.text
    assert "94 findings." in page.text
    assert 'accept = ["pitr"]' in page.text
    assert """accept = ['index."order.status".keys']""" in page.text
    assert "ttl: on (until the cutover)" in page.text
    assert "4 min of the 15 min that fence_limit allows" in page.text
    assert "left out by `ignore`: updated_at" in page.text
    assert (
        "2,480,000 items of both tables read in 31 s, at most 60 keys open at once, all decided" in page.text
    )
    assert "was the first run." in page.text
    # One figure of each kind has marks in it.
    assert [one["class"] for one in page.all("svg") if one["class"] in ("stack", "columns")] == [
        "stack",
        *("columns", "columns", "columns", "columns"),
    ]
    assert sum(one.get("class") == "fenced" for one in page.all("rect")) == 7


def test_a_run_that_passed_has_nothing_left_to_do(config):
    page = seen(leave(config, good_evidence(config)), config)

    assert "All 15 checks passed and nothing was left out: 3 keys match." in page.text
    assert "It names nothing that is left to do" in page.text
    assert "findings.jsonl was not beside the evidence" in page.text


@pytest.mark.parametrize(
    "state", [state for state in CheckState if state.name not in ("PASSED", "NOT_APPLICABLE")]
)
def test_each_state_of_a_check_has_something_to_do_about_it(config, state):
    found = good_evidence(config)
    checks = (msgspec.structs.replace(found.checks[0], state=state), *found.checks[1:])

    (reason,) = told.reasons(msgspec.structs.replace(found, checks=checks))

    assert found.checks[0].name in reason.what
    assert reason.do.endswith(".")


def test_it_holds_no_key_and_no_value_unless_they_are_asked_for(config):
    folder = rich(config)

    assert TOKEN.encode() not in making.make(folder, config).content
    with_keys = making.make(folder, config, keys=True).content
    assert TOKEN.encode() in with_keys
    assert b"This page holds raw keys of items" in with_keys


def test_it_offers_the_causes_of_the_repair_json_and_names_the_command_without_a_script(config):
    folder = rich(config)

    page = seen(folder, config)

    tail = repairs.tail_of(folder / "repair.json")
    boxes = [one for one in page.all("input") if one.get("type") == "checkbox"]
    exact = [
        [json.loads(one["data-pair"]), one["data-finding"], json.loads(one["data-cause"])] for one in boxes
    ]
    assert {tuple(one) for one in exact} == {(one.pair, one.finding, one.cause) for one in tail.causes}
    (form,) = [one for one in page.all("form") if one.get("id") == "plan"]
    assert form["data-repair"] == tail.digest
    assert "hidden" in form
    assert "replicator repair --from FOLDER --dry-run" in page.text
    (folder / "repair.json").unlink()
    assert "replicator repair" not in seen(folder, config).text


def test_checks_that_do_not_apply_are_not_said_to_have_passed(config):
    found = good_evidence(config)
    checks = [
        msgspec.structs.replace(check, state=CheckState.NOT_APPLICABLE)
        if check.name.startswith("check_transform")
        else check
        for check in found.checks
    ]

    page = seen(leave(config, msgspec.structs.replace(found, checks=tuple(checks))), config)

    assert "All 13 checks passed and nothing was left out" in page.text


def test_a_run_that_has_looked_at_changes_only_says_so(config):
    base = good_evidence(config)
    link = Link(since="1" * 64, base="2" * 64, lag_seconds=1.0)
    folder = leave(config, msgspec.structs.replace(base, facts=tuple(link.facts({base.pairs[0].id: 3}))))
    last = leave(config, good_evidence(config))

    page = seen(folder, config)

    assert "nothing was left out" not in page.text
    assert "All 15 checks passed on what was written since an earlier run: 3 keys match." in page.text
    assert f"since an earlier run was looked at: 3 keys of {base.pairs[0].id}." in page.text
    assert "1" * 64 in page.text
    assert "2" * 64 in page.text
    assert "Looked up key by key: 3 items of the source" in page.text
    assert "segment" not in page.text
    assert "passed, changes only" in page.text
    assert "passed, changes only" in seen(last, config).text


def test_why_the_whole_tables_were_read_is_said(config):
    fact = Fact(name="full-pass", about="", value="no stream is on")

    page = seen(leave(config, msgspec.structs.replace(good_evidence(config), facts=(fact,))), config)

    assert "full; the whole tables were read: no stream is on" in page.text


def test_of_a_few_findings_it_is_not_said_whether_they_are_scattered(config):
    folder = rich(config)
    pair = failed_evidence(config).pairs[0].id
    write_findings(folder, [finding(number, pair=pair) for number in range(19)])

    assert "With fewer than 20 findings that cannot be told." in seen(folder, config).text
    write_findings(folder, [finding(number, pair=pair) for number in range(20)])
    assert "slices of 64 hold findings" in seen(folder, config).text


def test_hostile_names_stay_text(config):
    content = making.make(rich(config), config).content
    page = Seen(content)

    assert HOSTILE in page.text
    assert len(page.all("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", content.decode())
    assert max(map(len, re.findall("x+", page.text))) <= 160


def test_the_policy_names_what_is_inside_and_nothing_else(config):
    content = making.make(rich(config), config).content
    page = Seen(content)
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv")]

    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    for name in ("style", "script"):
        hashed = base64.b64encode(hashlib.sha256(page.inside[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{hashed}'" in policy
    # Styles as attributes would be refused; so what is drawn has its colours as attributes of SVG.
    assert not [attributes for _, attributes in page.elements if "style" in attributes]
    assert all(one["fill"] for one in page.all("rect"))
    assert not [one for tag in ("link", "img", "iframe") for one in page.all(tag)]
    assert not re.findall(r"https?://", content.decode())


def test_tables_can_be_read_by_ear(config):
    page = seen(rich(config), config)

    assert len(page.all("caption")) == len(page.all("table"))
    assert all(one.get("scope") in ("row", "col") for one in page.all("th"))
    assert {tag for tag, _ in page.elements} >= {"header", "main", "footer", "h1"}
    assert len(page.all("h1")) == 1
    assert all(one.get("aria-label") or one.get("aria-hidden") for one in page.all("svg"))


def test_the_same_folder_gives_the_same_bytes(config):
    folder = rich(config)

    assert making.make(folder, config).content == making.make(folder, config).content


@pytest.mark.parametrize("findings", [10, 20_000])
def test_it_stays_small(config, findings):
    folder = rich(config)
    write_findings(
        folder, (finding(number, paths=("price: N -> S", "size: value")) for number in range(findings))
    )

    assert len(making.make(folder, config).content) < 400_000


def test_it_stays_small_with_many_checks_pairs_and_names(config):
    found = failed_evidence(config)
    checks = [
        msgspec.structs.replace(check, id=f"{number}{check.id}", why="z" * 5_000, claims=("different",) * 50)
        for number in range(100)
        for check in found.checks
    ]
    many = msgspec.structs.replace(
        found,
        checks=tuple(checks),
        shortcomings=tuple(f"{number}{'s' * 3_000}" for number in range(1_000)),
    )
    folder = leave(config, many)
    write_findings(
        folder,
        (
            finding(number, paths=tuple(f"{'n' * 2_000}{number}-{place}: value" for place in range(9)))
            for number in range(600)
        ),
    )

    content = making.make(folder, config).content
    with_keys = making.make(folder, config, keys=True).content

    assert len(content) < 1_000_000
    assert len(with_keys) < 1_000_000


def test_findings_that_are_not_those_of_the_evidence_are_said_to_be(config):
    folder = rich(config)
    write_findings(folder, [finding(1, pair=failed_evidence(config).pairs[0].id)])

    made = making.make(folder, config)

    assert [one.partition(":")[0].split(" keys")[0] for one in made.problems] == [
        "findings.jsonl lists 0 missing",
        "findings.jsonl lists 0 extraneous",
        "findings.jsonl lists 1 different",
    ]
    assert made.problems[0] in Seen(made.content).text


def test_the_steps_of_a_cutover_follow_one_another():
    chart = plots.gantt(STEPS)

    assert chart is not None
    assert [span.name for span in chart.spans] == list(STEPS)[1:]
    assert chart.seconds == 229.0
    assert chart.fenced_seconds == 226.5
    assert [span.fenced for span in chart.spans] == [False] + [True] * 6
    for before, after in zip(chart.spans, chart.spans[1:], strict=False):
        assert after.mark.x >= before.mark.x
    assert all(span.mark.x + span.mark.width <= plots.WIDTH + 0.2 for span in chart.spans[:-1])


def test_a_fence_that_was_put_ahead_counts_from_the_moment_in_which_it_holds():
    held = {"gate": 0, "fence": 2, "fence-holds": 92, "quiet": 100, "flip": 120}
    chart = plots.gantt({name: f"2026-11-18T11:0{at // 60}:{at % 60:02}Z" for name, at in held.items()})

    assert chart is not None
    assert chart.fenced_seconds == 28.0
    assert [span.name for span in chart.spans if span.fenced] == ["quiet", "flip"]


def test_what_was_read_is_held_against_what_was_planned(tmp_path):
    config = load(projects.make_project(tmp_path))
    found = good_evidence(config)
    (pair,) = found.pairs
    units = pair.comparison.source_read_units + pair.comparison.target_read_units
    fact = Fact(name="planned-units", about=pair.id, value=2 * units)

    (told,) = view.pairs(msgspec.structs.replace(found, facts=(fact,)))
    assert f"it was to take {2 * units:,.0f} read units: that is 50 % of it" in told.read
    assert f"${units * 0.125 / 1e6:,.4f} on demand" in told.read
    (untold,) = view.pairs(found)
    assert "was to take" not in untold.read


@pytest.mark.parametrize(
    ("verdicts", "streaks", "said"),
    [
        (("passed",), (1,), "up to this one: 1. [gate] clean_runs asks for 3"),
        (("passed", "passed", "failed", "passed"), (2, 1, 0, 1), "up to this one: 2."),
        (("failed", "passed"), (0, 1), "up to this one: 0."),
        (("passed", "passed"), (2, 1), "up to this one: at least 2."),
    ],
)
def test_runs_that_have_passed_in_a_row_are_counted_up_to_each(tmp_path, verdicts, streaks, said):
    about = good_evidence(load(projects.make_project(tmp_path)), verdict=verdicts[0])
    earlier = tuple(Earlier("run", verdict, "0" * 64, changes_only=False) for verdict in verdicts[1:])
    origin = Origin(folder=tmp_path, about=about, sha256="0" * 64, earlier=earlier, clean_runs=3)

    row = view.row(origin)
    assert row.streaks == streaks
    assert said in row.sentence


@pytest.mark.parametrize(
    "steps",
    [{}, {"gate": "2026-11-18T11:00:00Z"}, {"gate": "then", "flip": "now"}, dict(reversed(STEPS.items()))],
)
def test_steps_that_make_no_line_of_time_make_no_chart(steps):
    assert plots.gantt(steps) is None


def an_event(at: float, items: int, suspects: int = 0, phase: str = "scan") -> Event:
    return Event(
        at=at,
        pair="orders",
        phase=phase,
        segments_finished=0,
        segments_planned=1,
        source_items=items,
        target_items=0,
        read_units=0.0,
        open_suspects=suspects,
    )


def the_course(*events: Event) -> course.Course:
    (found,) = course.courses(Events(events, "", ""))
    return found


def test_a_pass_is_drawn_over_its_time():
    found = the_course(
        an_event(0, 0), an_event(4, 40), an_event(8, 80, 5, "settle"), an_event(9, 80, 3, "settle"),
        an_event(10, 80, 0, "ended"),
    )  # fmt: skip

    assert (
        found.sentence
        == "80 items of both tables read in 8 s, at most 5 keys open at once, all decided at its end."
    )
    assert len(found.items) == len(found.suspects) == course.BUCKETS
    heights = [mark.height for mark in found.items]
    assert heights == sorted(heights)
    assert (heights[0], heights[-1]) == (0.0, plots.HEIGHT)
    assert max(mark.height for mark in found.suspects) == plots.HEIGHT
    assert found.suspects[-1].height == 0.0 or found.suspects[-1].height < plots.HEIGHT


def states_of(*told):
    """A pass whose decided keys were told so, a second after the other."""
    events = [
        msgspec.structs.replace(an_event(at, 10, phase="settle"), counts=counts, converged=2, lag_seconds=1.5)
        for at, counts in enumerate(told)
    ]
    return the_course(*events[:-1], msgspec.structs.replace(events[-1], phase="ended"))


def test_states_are_piled_over_the_time_in_which_they_were_decided():
    found = states_of(
        {"matched": 90},
        {"matched": 95, "missing": 1},
        {"missing": 1, "different": 1},
        {"missing": 1, "different": 3},
    )

    assert found.settled == (("missing", 1), ("different", 3))
    assert {one.name for one in found.states} == {"missing", "different"}  # what is equal would hide them
    at_the_end = [one for one in found.states if one.x + one.width == plots.WIDTH]
    assert [(one.name, one.y, one.height) for one in at_the_end] == [
        ("missing", 75, 25),
        ("different", 0, 75),
    ]
    assert min(one.x for one in found.states) == pytest.approx(
        plots.WIDTH / 3, abs=plots.WIDTH / course.STRETCHES
    )
    assert "2 keys differed at first and converged, the slowest within 1.5 s" in found.sentence


def test_stretches_that_are_alike_make_one_block():
    found = states_of(*[{"missing": 2}] * 50)

    assert [(one.x, one.y, one.width, one.height) for one in found.states] == [
        (0, 0, plots.WIDTH, plots.HEIGHT)
    ]


def test_where_nothing_differs_no_states_are_drawn():
    assert states_of(*[{"matched": 9, "excluded": 1}] * 5).states == ()


def test_the_states_of_many_pairs_do_not_make_the_page_larger():
    events = [
        msgspec.structs.replace(an_event(at, 10, phase="settle"), pair=f"pair-{pair}", counts={"missing": at})
        for pair in range(course.MOST_WITH_STATES + 3)
        for at in range(1, 40)
    ]
    found = course.courses(Events(tuple(events), "", ""))

    assert sum(bool(one.states) for one in found) == course.MOST_WITH_STATES
    assert all(one.settled for one in found)


def test_a_pass_over_changes_only_has_scanned_nothing():
    found = the_course(an_event(0, 0, 332, "settle"), an_event(1, 0, 0, "ended"))

    assert found.sentence == "At most 332 keys open at once, all decided at its end."


def test_what_was_found_open_in_a_moment_is_not_lost_between_two_columns():
    busy = [an_event(number / 100, 10, 9 if number == 512 else 1) for number in range(1_000)]

    found = the_course(*busy, an_event(10, 10, 1, "ended"))

    assert max(mark.height for mark in found.suspects) == plots.HEIGHT
    assert "1 of them still at its end" in found.sentence


@pytest.mark.parametrize(
    "events",
    [
        [an_event(0, 1)],
        [an_event(0, 1), an_event(0, 2), an_event(0, 2), an_event(0, 2, phase="ended")],
        [an_event(9, 1), an_event(3, 2), an_event(1, 2), an_event(2, 2, phase="ended")],
    ],
)
def test_a_pass_of_no_time_has_a_sentence_and_no_plot(events):
    found = the_course(*events)

    assert found.items == ()
    assert ("has no end" in found.sentence) == (events[-1].phase != "ended")


def test_a_log_that_is_cut_is_said_to_be(config):
    folder = rich(config)
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"at"')

    assert "events.jsonl is damaged: line 103 is cut" in seen(folder, config).text


def test_a_log_of_another_version_is_said_to_be_one(config):
    folder = rich(config)
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[1:]))

    text = seen(folder, config).text
    assert "events.jsonl is damaged: it was written by another version of ddbverify." in text
    assert "Items read so far" not in text


def test_what_is_there_can_be_seen_however_little():
    marks = plots.stacked({"matched": 10**9, "missing": 1, "different": 0})

    assert [mark.name for mark in marks] == ["matched", "missing"]
    assert marks[1].width >= 5
    assert round(sum(mark.width for mark in marks)) == plots.WIDTH
    assert plots.shade(1, 10**6) == 1
    assert plots.shade(10**6, 10**6) == 5
    assert dataclasses.astuple(plots.columns([3, 0, 6])[0])[3] == plots.HEIGHT
