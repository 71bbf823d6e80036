"""What `status` says of a fence: never that there is none while the policy denies."""

from __future__ import annotations

import pytest

from ddbverify.config import parse
from ddbverify.names import Fact
from replicator.aws import fence_seen
from replicator.aws.policies import LAG_SECONDS
from replicator.aws.policy_fence import PolicyFence
from replicator.commands.fences_told import of_sources
from replicator.commands.status import fenced
from replicator.handlers.state import State, text_of
from tests.replicator.aws.test_policy_fence import LIMIT, MARGIN, OPERATOR, OTHERS, TABLE
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted, refusal
from tests.replicator.policies import NOON, FakePolicies, of

FILE = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[cutover]\npointer = "ssm:/shop/orders"\n'
CUT = {"fenced": True}


class Source(FakePolicies):
    """One table, with its policy."""

    there = True

    def describe_table(self, *, TableName):  # noqa: N803
        if not self.there:
            raise refusal("ResourceNotFoundException")
        return {
            "Table": {
                "TableArn": TABLE.arn,
                "TableStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }
        }


def context(client, tmp_path, fence="resource-policy"):
    return Rooted(
        config=parse(f'{FILE}fence = "{fence}"\n', tmp_path),
        source=client,
        whole=State.whole(FakeDynamoDB(), STATE),
        server_time=client.clock.now,
    )


def raised(client):
    made = PolicyFence(of(client), (TABLE,), (OPERATOR,), client.clock.now, MARGIN)
    made.raise_(None, NOON + LIMIT)
    return made


def told(here, cut):
    seen = fence_seen.look(here, cut)
    return fenced(cut, seen), " ".join(of_sources(here, cut, seen))


@pytest.mark.parametrize("recorded", [{}, CUT], ids=["the record says no", "the record says yes"])
def test_a_policy_that_denies_is_a_fence_whatever_is_recorded(tmp_path, recorded):
    client = Source(OTHERS)
    raised(client)
    fenced, said = told(context(client, tmp_path), recorded)

    assert fenced is True
    assert "orders is fenced by a cutover: nobody writes to it, until 2027-01-15 08:15:00 UTC" in said
    assert "replicator cutover" in said


def test_one_that_is_fastened_has_no_end(tmp_path):
    client = Source()
    raised(client).fasten()

    assert "until it is lifted" in told(context(client, tmp_path), CUT)[1]


def test_one_that_has_ended_is_none_and_is_told(tmp_path):
    client = Source()
    raised(client)
    client.clock.at = NOON + LIMIT
    fenced, said = told(context(client, tmp_path), CUT)

    assert fenced is False
    assert "has ended by itself, and the application writes again" in said


def test_one_that_has_not_begun_is_told_with_its_beginning(tmp_path):
    client = Source()
    made = PolicyFence(of(client), (TABLE,), (OPERATOR,), client.clock.now, MARGIN)
    made.raise_(NOON + 90, NOON + 90 + LIMIT)
    here = context(client, tmp_path)
    (seen,) = fence_seen.look(here, CUT)
    fenced, said = told(here, CUT)

    assert seen.as_json()["begins"] == "2027-01-15T08:01:30+00:00"
    assert fenced is False
    assert "orders is to be fenced by a cutover: nobody writes to it behind 2027-01-15 08:01:30 UTC" in said
    assert "begun to fence" not in said
    client.clock.at = NOON + 90
    assert told(here, CUT)[0] is False, "it denies behind that second"
    client.clock.at = NOON + 91
    assert told(here, CUT)[0] is True


def test_one_that_has_not_begun_and_that_reads_do_not_show_yet_is_told(tmp_path):
    client = Source(lag=LAG_SECONDS)
    here = context(client, tmp_path)
    here.whole.put(
        Fact.FENCE + "orders", begin_epoch=int(NOON + 90), until_epoch=int(NOON + LIMIT), at=text_of(NOON)
    )

    assert "is to be fenced" in told(here, CUT)[1]


def test_one_that_has_ended_with_the_consumer_off_says_so(tmp_path):
    client = Source()
    raised(client)
    client.clock.at = NOON + LIMIT
    here = context(client, tmp_path)

    assert "replicator resume" in told(here, {"fenced": True, "steps": {"consumer": "now"}})[1]
    assert "replicator resume" not in told(here, {"fenced": True, "steps": {"drain": "now"}})[1]


def test_no_fence_is_none(tmp_path):
    assert told(context(Source(OTHERS), tmp_path), {}) == (False, "")


def test_one_that_was_lifted_is_none(tmp_path):
    client = Source(OTHERS)
    raised(client).lift()

    assert told(context(client, tmp_path), {"steps": {"lifted": "now"}}) == (False, "")


@pytest.mark.parametrize("revision", ["2", None])
def test_one_that_reads_do_not_show_yet_is_one(tmp_path, revision):
    client = Source(lag=LAG_SECONDS)
    here = context(client, tmp_path)
    note = {"revision": revision, "until_epoch": int(NOON + LIMIT), "at": text_of(NOON)}
    here.whole.put(Fact.FENCE + "orders", **note)

    assert told(here, CUT)[0] is True
    assert "until 2027" in told(here, {})[1]
    client.clock.at += 3 * LAG_SECONDS  # by now a read would show it
    assert told(here, {})[0] is False


@pytest.mark.parametrize(("recorded", "fenced"), [({}, None), (CUT, True)])
def test_a_policy_that_cannot_be_read_is_not_known(tmp_path, recorded, fenced):
    client = Source()
    client.get_resource_policy = refuse
    found, said = told(context(client, tmp_path), recorded)

    assert found is fenced
    assert "whether orders is fenced is not known: AWS refused to read the resource policy" in said


def refuse(**_):
    raise refusal("AccessDeniedException")


def test_behind_the_flip_it_stays_and_is_no_news(tmp_path):
    client = Source()
    raised(client).fasten()

    assert told(context(client, tmp_path), {"flipped": True}) == (True, "")
    client.there = False
    assert told(context(client, tmp_path), {"flipped": True}) == (False, "")


def test_a_policy_that_denies_is_a_fence_whatever_the_setting_is_by_now(tmp_path):
    client = Source()
    raised(client)
    here = context(client, tmp_path, fence="command:./fence")
    here.whole.put(Fact.FENCE + "orders", revision="2", until_epoch=int(NOON + LIMIT), at=text_of(NOON))

    assert told(here, {})[0] is True
    assert "until 2027" in told(here, {})[1]


def test_one_of_a_pair_that_the_settings_name_no_longer_is_seen(tmp_path):
    client = Source()
    raised(client)
    here = context(client, tmp_path)
    here.config = parse(FILE.replace("orders", "users"), tmp_path)
    here.whole.put(Fact.FENCE + "orders", revision="2", until_epoch=int(NOON + LIMIT), at=text_of(NOON))

    assert [one.table for one in fence_seen.look(here, {})] == ["users", "orders"]
    assert told(here, {})[0] is True
    assert "orders is fenced by a cutover" in told(here, {})[1]


def test_of_several_one_that_has_ended_and_one_that_was_not_put_keep_nobody_off():
    seen = [fence_seen.Seen("a", "ended", 1), fence_seen.Seen("b", "none")]

    assert fenced(CUT, seen) is False
    assert fenced(CUT, [*seen, fence_seen.Seen("c", "up")]) is True
    assert fenced(CUT, [*seen, fence_seen.Seen("c", "unknown")]) is None


def test_the_operators_own_is_known_by_the_record_only_and_knows_no_end(tmp_path):
    here = context(Source(), tmp_path, fence="command:./fence")

    assert told(here, {}) == (False, "")
    assert told(here, CUT)[0] is told(here, {"flipping": True})[0] is True
    assert "and your fence command knows no end" in told(here, CUT)[1]


def test_a_cutbacks_fence_is_told_with_the_command_that_lifts_it(tmp_path):
    """By its own words: they were the cutover's, replaced in the finished text."""
    client = Source()
    raised(client)
    here = context(client, tmp_path)
    here.flips_with = "cutback"
    _, said = told(here, {"fenced": True})
    assert "run `replicator cutback` again: it lifts the fence first" in said
    assert "replicator cutover" not in said
