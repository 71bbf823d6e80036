"""What was delivered too often: its changes go to the quarantine, and the letter once they stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ddbverify.items.transform import key_hash
from ddbverify.names import KeySchema, is_ours
from replicator.handlers.envelope import Letter, UnreadableBody, open_body
from replicator.handlers.records import is_key_of
from replicator.handlers.state import State

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_FILING_SECONDS: Final = 120
"""A letter has up to some thousand keys, each two writes to the state table."""


def file(sqs: SQSClient, url: str, state: State, *, stream_arn: str, restart: int, schema: KeySchema) -> int:
    """
    Quarantine the changes in a pair's dead letters, and remove each letter once its changes stand there.

    A letter of a stream that a restart has left is removed and counted, as the consumer does. Raises
    botocore's errors.

    Args:
        url: Of the dead letters.
        stream_arn: The stream that the pair is bound to.
        restart: How often the pair was started anew.
        schema: Of the source.

    Returns:
        How many letters were left where they are: what they hold cannot be told, so a gap is latched.
    """
    unreadable: set[str] = set()
    while True:
        # Long polling asks all of SQS's servers; a short one may miss a queue that is not empty.
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=1, VisibilityTimeout=_FILING_SECONDS
        ).get("Messages")
        if not found or found[0]["MessageId"] in unreadable:
            return len(unreadable)
        letter = _opened(found[0]["Body"])
        if letter is not None and letter.is_retired(stream_arn, restart):
            state.add({"retired": len(letter.changes)})
        elif letter is not None and _counts(letter, stream_arn, restart, schema):
            _file(letter, schema, state)
        else:
            unreadable.add(found[0]["MessageId"])
            state.latch_gap("a repair met a dead letter that is not of this stream, or not whole")
            continue
        sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])


def _opened(body: str) -> Letter | None:
    try:
        return open_body(body)
    except UnreadableBody:
        return None


def _counts(letter: Letter, stream_arn: str, restart: int, schema: KeySchema) -> bool:
    whole = all(is_key_of(change.keys, schema) for change in letter.changes)
    return whole and letter.is_ours(stream_arn, restart)


def _file(letter: Letter, schema: KeySchema, state: State) -> None:
    newest = {key_hash(change.keys, schema): change for change in letter.changes}  # in stream order
    for hashed, change in newest.items():
        if not is_ours(change.keys, schema):
            state.quarantine(hashed, change.keys, change.sequence_number, "a dead letter")
