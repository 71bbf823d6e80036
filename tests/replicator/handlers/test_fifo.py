"""Sending: at most ten a call, one of each group, and never out of order within a group."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from replicator.handlers import fifo
from replicator.handlers.envelope import Message
from tests.replicator.fakes import FakeQueue, no_answer, refusal


def messages(groups):
    return [Message(f"g{group}", f"id-{at}", f"body-{at}", (at,)) for at, group in enumerate(groups)]


def send(queue, batch):
    return fifo.send(queue, "https://queue.fifo", batch, sleep=lambda seconds: None)


SCRIPTS = st.lists(
    st.one_of(
        st.frozensets(st.integers(0, 9)),
        st.builds(no_answer),
        st.builds(lambda: refusal("ServiceUnavailable")),
        st.builds(lambda: ("after", no_answer())),
    ),
    max_size=12,
)
GROUPS = st.lists(st.integers(0, 13), max_size=40)


def check_the_rules(groups, script):
    """What holds for every batch and every way in which SQS can fail."""
    queue, batch = FakeQueue(script), messages(groups)
    unsent = send(queue, batch)

    placed = [body for _, body in queue.bodies]
    assert [one for one in batch if one in unsent] == unsent, "reported in the order of the batch"
    for group in {one.group_id for one in batch}:
        mine = [one for one in batch if one.group_id == group]
        here = [body for one, body in queue.bodies if one == group]
        assert here == [one.body for one in mine][: len(here)], "a group is a prefix of itself, in order"
        kept = [one for one in mine if one not in unsent]
        assert kept == mine[: len(kept)], "nothing is called sent behind a message that is not"
    assert {one.body for one in batch if one not in unsent} <= set(placed), "what is called sent is there"
    assert all(len(call) == len(set(call)) for call in queue.calls), "one message of a group in a call"
    return queue, unsent


@given(GROUPS, SCRIPTS)
def test_a_group_is_never_inverted_and_what_is_unsent_is_reported_in_order(groups, script):
    check_the_rules(groups, script)


@given(GROUPS)
def test_without_failures_everything_is_sent(groups):
    queue, unsent = check_the_rules(groups, [])

    assert unsent == []
    assert len(queue.bodies) == len(groups)


@given(GROUPS, st.integers(1, 3))
def test_a_few_failures_are_retried(groups, failures):
    _, unsent = check_the_rules(groups, [no_answer() for _ in range(failures)])

    assert unsent == []


def test_a_call_holds_ten_messages_at_the_most():
    queue = FakeQueue()
    send(queue, messages(range(25)))

    assert [len(call) for call in queue.calls] == [10, 10, 5]


def test_a_call_stays_below_a_mebibyte():
    queue = FakeQueue()  # it asserts the size of every call
    large = [Message(f"g{at}", f"id-{at}", "x" * 250_000, (at,)) for at in range(10)]

    assert send(queue, large) == []
    assert [len(call) for call in queue.calls] == [4, 4, 2]


@pytest.mark.parametrize("error", [refusal("AccessDenied"), EndpointConnectionError(endpoint_url="x")])
def test_an_exception_means_not_placed(error):
    batch = messages([0, 1, 0])
    queue = FakeQueue([error] * fifo.ATTEMPTS)

    assert send(queue, batch) == batch
    assert queue.bodies == []


def test_one_group_that_always_fails_holds_back_its_own_messages_only_as_long_as_there_are_attempts():
    class Stubborn(FakeQueue):
        def send_message_batch(self, **arguments):
            self.script.append(
                {n for n, one in enumerate(arguments["Entries"]) if one["MessageGroupId"] == "g0"}
            )
            return super().send_message_batch(**arguments)

    batch = messages([0, 1, 0, 1, 2])

    assert send(Stubborn(), batch) == [batch[0], batch[2]]


# --- the rule, taken away ---------------------------------------------------------------------


def test_the_property_sees_two_messages_of_a_group_in_one_call(monkeypatch):
    def without_the_rule(waiting):
        return [message for group in waiting.values() for message in group][:10]

    monkeypatch.setattr(fifo, "_next_batch", without_the_rule)

    with pytest.raises(AssertionError):
        check_the_rules([0, 0], [{0}])


def test_the_property_sees_a_sender_that_goes_on_behind_a_failure(monkeypatch):
    def without_the_rule(client, url, batch):
        client.send_message_batch(
            QueueUrl=url,
            Entries=[
                {
                    "Id": str(n),
                    "MessageBody": one.body,
                    "MessageGroupId": one.group_id,
                    "MessageDeduplicationId": one.deduplication_id,
                }
                for n, one in enumerate(batch)
            ],
        )
        return {one.deduplication_id for one in batch}  # whatever the answer says

    monkeypatch.setattr(fifo, "_send_batch", without_the_rule)

    with pytest.raises(AssertionError):
        check_the_rules([0, 0], [{0}])


class QueueThatTakes:
    """A queue with this ``MaximumMessageSize``."""

    def __init__(self, most):
        self.most = most

    def get_queue_attributes(self, *, QueueUrl, AttributeNames):  # noqa: N803
        assert AttributeNames == ["MaximumMessageSize"]
        return {"Attributes": {"MaximumMessageSize": str(self.most)}}


def test_the_queues_own_limit_is_what_a_message_may_have():
    assert fifo.largest_body(QueueThatTakes(1_048_576), "url") == 1_048_576


def test_a_queue_that_could_not_hold_a_key_is_refused():
    with pytest.raises(fifo.QueueTooSmall, match="MaximumMessageSize"):
        fifo.largest_body(QueueThatTakes(1024), "url")


def test_why_a_send_failed_stands_in_the_log(caplog):
    send(FakeQueue([refusal("AWS.SimpleQueueService.NonExistentQueue")] * fifo.ATTEMPTS), messages([1]))

    assert set(caplog.messages) == {"send refused: AWS.SimpleQueueService.NonExistentQueue"}
