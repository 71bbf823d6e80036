"""A batch whose body is made of texts is the one that botocore would have sent."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import EngineError
from ddbverify.items.values import with_bytes
from replicator.backfill.batches import Batches
from tests.replicator.fakes import KEYS, TARGET, FakeDynamoDB
from tests.replicator.handlers.test_envelope import VALUES
from tests.replicator.wired import Wire

ITEMS = st.lists(st.dictionaries(st.text(min_size=1), VALUES, min_size=1), min_size=1, max_size=25)


class Recorder:
    """Takes every batch, and hands back what it is told to."""

    def __init__(self):
        self.asked, self.back = [], []

    def batch_write_item(self, **request):
        self.asked.append(request)
        return {"UnprocessedItems": {"t\"'able": self.back} if self.back else {}, "ConsumedCapacity": []}


@pytest.fixture(scope="module")
def wired():
    recorder = Recorder()
    return recorder, Wire("dynamodb", recorder), Wire("dynamodb", recorder)


@given(items=ITEMS)
def test_the_body_is_botocores_own(wired, items):
    recorder, ours, ordinary = wired
    recorder.asked.clear()
    recorder.back = []
    texts = [msgspec.json.encode(item) for item in items]

    assert Batches(ours.client, "t\"'able").put(texts)[0] == []
    ordinary.client.batch_write_item(
        RequestItems={"t\"'able": [{"PutRequest": {"Item": with_bytes(item)}} for item in items]},
        ReturnConsumedCapacity="TOTAL",
    )

    mine, theirs = recorder.asked
    assert mine == theirs


@given(items=ITEMS, back=st.integers(0, 25))
def test_what_is_handed_back_is_what_was_sent(wired, items, back):
    recorder, ours, _ = wired
    recorder.back = [{"PutRequest": {"Item": item}} for item in items[:back]]

    left, _ = Batches(ours.client, "t\"'able").put([msgspec.json.encode(item) for item in items])

    assert [json.loads(text) for text in left] == items[:back]


@pytest.mark.parametrize("back", [{}, {"UnprocessedItems": {"another": []}}])
@pytest.mark.parametrize("by_text", [True, False])
def test_an_answer_that_does_not_say_what_was_left_is_not_all_is_written(back, by_text):
    database = FakeDynamoDB()
    database.batch_write_item = lambda **_: back
    client = Wire("dynamodb", database).client if by_text else database

    with pytest.raises(EngineError, match="does not say what was left undone"):
        Batches(client, TARGET).put([b'{"id":{"S":"secret"}}'])


def test_another_batch_of_the_same_client_is_as_ever():
    database = FakeDynamoDB()
    wire = Wire("dynamodb", database)
    Batches(wire.client, TARGET)

    wire.client.batch_write_item(RequestItems={TARGET: [{"PutRequest": {"Item": {"id": {"S": "a"}}}}]})

    assert [item[next(iter(KEYS))] for item in database.items(TARGET).values()] == [{"S": "a"}]
