"""Who is told of a cutover, and that nothing waits for it, fails by it, or goes on behind it."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import ANY, Stubber

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.evidence import digests
from replicator.commands import cutover, cutover_left, notices
from replicator.commands.notices import Notices
from replicator.context import clock

ROOT = Path(__file__).parents[3]
FILE = 'name = "shop"\n[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[notify]\n{}\n'
TOPIC = "arn:aws:sns:eu-west-1:111122223333:migrations"


class Told(list):
    """A way that keeps what it is told."""

    def __call__(self, document):
        self.append(document)

    @property
    def events(self):
        return [one["event"] for one in self]


def context_of(tmp_path, section="", said=None):
    config = parse(FILE.format(section), tmp_path)
    made = SimpleNamespace(
        config=config,
        console=SimpleNamespace(warn=(said if said is not None else []).append),
        source_side=config.source,
    )
    made.root = made
    return made


def test_each_step_is_told_in_order_with_what_it_is_of():
    told = Told()
    with Notices({"migration": "shop"}, [told], pytest.fail) as made:
        made.tell("gate")
        made.tell("fence", cycle=1, deadline=clock.seconds() + 60)
        made.tell("rolled-back", reason="writes still reach the source")
    assert told.events == ["gate", "fence", "rolled-back"]
    assert [one["number"] for one in told] == [1, 2, 3]
    assert {(one["v"], one["migration"]) for one in told} == {(1, "shop")}
    assert [one["cycle"] for one in told] == [0, 1, 0]
    assert [one["seconds_left"] is None for one in told] == [True, False, True]
    assert told[2]["reason"] == "writes still reach the source"


def test_nothing_waits_for_a_way_that_hangs(monkeypatch):
    """Told from the thread of the command, while the way is stuck until after the last `tell`."""
    free, order = threading.Event(), []

    def stuck(document):
        assert free.wait(60)
        order.append(document["event"])

    with Notices({}, [stuck], pytest.fail) as made:
        for step in ("fence", "drain", "flip"):
            made.tell(step)
        order.append("flipped")
        free.set()
    assert order == ["flipped", "fence", "drain", "flip"]


def test_what_does_not_end_by_itself_is_left_behind_and_told(monkeypatch):
    monkeypatch.setattr(notices, "LAST_SECONDS", 0.0)
    monkeypatch.setattr(notices, "LIMIT_SECONDS", 0.05)
    free, said = threading.Event(), []
    with Notices({}, [lambda _: free.wait(60)], said.append) as made:
        made.tell("flip")
    free.set()
    assert said == ["the notice of `flip` may not have arrived: it is still under way"]


def test_of_those_that_nobody_has_time_for_the_last_arrives(monkeypatch):
    monkeypatch.setattr(notices, "LAST_SECONDS", 0.0)
    begun, free, told, said = threading.Event(), threading.Event(), [], []

    def slow(document):
        told.append(document["event"])
        if len(told) == 1:
            begun.set()
            assert free.wait(60)

    made = Notices({}, [slow], said.append)
    made.tell("fence")
    assert begun.wait(60)
    for step in ("quiet", "drain", "rolled-back"):
        made.tell(step)
    threading.Timer(0.05, free.set).start()  # when the command is done already
    made.__exit__(None, None, None)
    assert told == ["fence", "rolled-back"]
    assert said == ["the notices of `quiet`, `drain` did not arrive: there was no time left for them"]


def test_a_way_that_fails_is_a_warning_and_the_other_is_told():
    told, said = Told(), []

    def broken(_):
        raise EngineError("It ended with 3.", "x")

    def worse(_):
        raise KeyError("SENTINEL")

    with Notices({}, [broken, worse, told], said.append) as made:
        made.tell("gate")
    assert told.events == ["gate"]
    assert said == [
        "the notice of `gate` did not arrive: It ended with 3.",
        "the notice of `gate` did not arrive: KeyError",
    ]


@pytest.mark.parametrize(
    ("before", "events"),
    [
        ((), ["failed"]),
        (("gate",), ["gate", "failed"]),
        (("rolled-back",), ["rolled-back"]),
        (("gap",), ["gap"]),
    ],
)
def test_an_error_is_told_once(before, events):
    told = Told()

    def refused():
        with Notices({}, [told], pytest.fail) as made:
            for event in before:
                made.tell(event)
            raise Refused("The gate is closed.", "x")

    with pytest.raises(Refused):
        refused()
    assert told.events == events
    if events[-1] == "failed":
        assert told[-1]["reason"] == "The gate is closed."


def test_a_bug_is_told_by_its_type():
    told = Told()
    with pytest.raises(KeyError), Notices({}, [told], pytest.fail):
        {}["SENTINEL"]
    assert told[0]["reason"] == "KeyError"


# --- where they go ---------------------------------------------------------------------------


def test_a_command_gets_the_document_on_its_standard_input(tmp_path):
    said = []
    (tmp_path / "tell.py").write_text(
        "import sys\nwith open('told', 'a') as file: file.write(sys.stdin.read() + '\\n')\n"
    )
    context = context_of(tmp_path, f"command = '{sys.executable} tell.py'", said)
    with notices.of(context, "cutover") as made:
        made.tell("gate")
        made.tell("flip")
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert said == []
    (pair,) = context.config.tables
    assert [one["event"] for one in told] == ["gate", "flip"]
    assert told[0] == {
        "v": 1,
        "migration": "shop",
        "command": "cutover",
        "pairs": [{"id": pair.id, "source": "orders", "target": "orders-v2"}],
        "event": "gate",
        "number": 1,
        "at": told[0]["at"],
        "cycle": 0,
        "seconds_left": None,
        "reason": None,
    }


def test_a_command_that_hangs_is_ended_with_all_that_it_has_started(tmp_path, monkeypatch):
    monkeypatch.setattr(notices, "LIMIT_SECONDS", 1.0)
    said = []
    (tmp_path / "hang.sh").write_text("sleep 600 & echo $! > child; echo $$ > parent; wait\n")
    context = context_of(tmp_path, "command = 'sh hang.sh'", said)
    with notices.of(context, "cutover") as made:
        made.tell("flip")
    assert said == ["the notice of `flip` did not arrive: The command of [notify] did not end within 1 s."]
    for name in ("parent", "child"):
        number = int((tmp_path / name).read_text())
        assert not is_alive(number), name


def is_alive(number):
    """Whether a process runs; one that has ended may still be listed until somebody asks."""
    try:
        os.kill(number, 0)
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_topic_is_published_to_as_sns_takes_it(tmp_path, monkeypatch):
    client = boto3.client("sns", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    asked, said = [], []
    monkeypatch.setattr(
        notices.aws, "client", lambda side, service, **_: asked.append((side, service)) or client
    )
    context = context_of(tmp_path, f"topic = '{TOPIC}'", said)
    with Stubber(client) as stub:
        text = {"DataType": "String"}
        stub.add_response(
            "publish",
            {"MessageId": "1"},
            {
                "TopicArn": TOPIC,
                "Message": ANY,
                "Subject": "cutover of shop: flip",
                "MessageAttributes": {
                    "migration": {**text, "StringValue": "shop"},
                    "command": {**text, "StringValue": "cutover"},
                    "event": {**text, "StringValue": "flip"},
                },
            },
        )
        stub.add_client_error("publish", "AuthorizationError", "not authorized to perform: SNS:Publish")
        with notices.of(context, "cutover") as made:
            made.tell("flip")
            made.tell("open")
        stub.assert_no_pending_responses()
    assert [(side.region, service) for side, service in asked] == [("eu-west-1", "sns")]
    (warning,) = said
    assert warning.startswith("the notice of `open` did not arrive: ")
    assert "publish to the topic of [notify]" in warning


def test_a_subject_is_no_longer_than_sns_takes(monkeypatch):
    sent = []
    client = SimpleNamespace(publish=lambda **how: sent.append(how))
    notices._publish(client, TOPIC, {"migration": "m" * 200, "command": "cutover", "event": "flip"})
    assert len(sent[0]["Subject"]) == 100


def test_without_the_section_nobody_is_told_and_no_thread_is_begun(tmp_path):
    before = threading.active_count()
    with notices.of(context_of(tmp_path), "cutover") as made:
        made.tell("gate")
    assert threading.active_count() == before
    silent = context_of(tmp_path, f"topic = '{TOPIC}'")
    assert notices.of(silent, "cutover", silent=True)._ways == []


def test_a_topic_without_credentials_is_a_warning(tmp_path, monkeypatch):
    def none(*_, **__):
        raise ConfigurationError("No such profile.", "x")

    monkeypatch.setattr(notices.aws, "client", none)
    said = []
    with notices.of(context_of(tmp_path, f"topic = '{TOPIC}'", said), "cutover") as made:
        made.tell("gate")
    assert said == ["[notify] topic is told nothing: No such profile."]


# --- the commands ----------------------------------------------------------------------------


def test_a_dry_run_tells_nobody_and_a_cutover_that_is_refused_says_why(tmp_path, monkeypatch):
    told = Told()
    monkeypatch.setattr(notices, "_ways", lambda *_: [told])
    monkeypatch.setattr(cutover_left, "lift_first", lambda _: False)

    def refused(_):
        raise Refused("The gate is closed.", "x")

    for dry_run in (True, False):
        with pytest.raises(Refused):
            cutover.flip(context_of(tmp_path), refused, "cutover", dry_run=dry_run)
    assert told.events == ["failed"]
    assert (told[0]["command"], told[0]["reason"]) == ("cutover", "The gate is closed.")


def test_a_fence_that_an_earlier_run_has_left_is_told_to_be_lifted(tmp_path, monkeypatch):
    told = Told()
    monkeypatch.setattr(notices, "_ways", lambda *_: [told])
    monkeypatch.setattr(cutover_left, "lift_first", lambda _: True)
    context = context_of(tmp_path)

    def need_no_restart():
        raise Refused("A restart is under way.", "x")

    context.need_no_restart, context.cycle, context.whole = need_no_restart, 0, {}
    with pytest.raises(Refused):
        cutover.flip(context, lambda _: context, "cutover")
    assert told.events == ["lifted", "failed"]


def test_no_evidence_is_bound_to_who_is_told(tmp_path):
    one, two = (parse(FILE.format(text), tmp_path) for text in ("", "command = './tell'"))
    assert digests.configuration_digest(one) == digests.configuration_digest(two)


def test_the_operators_policy_lets_him_publish_and_nothing_else_of_sns():
    text = (ROOT / "docs/permissions.md").read_text(encoding="utf-8")
    actions = re.findall(r'"(sns:\w+)"', text)
    assert actions == ["sns:Publish"]
    (statement,) = [
        one
        for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)
        for one in json.loads(block).get("Statement", ())
        if one["Action"] == "sns:Publish"
    ]
    assert statement["Resource"].startswith("arn:aws:sns:"), "one topic, and no star"
