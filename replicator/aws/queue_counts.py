"""How many messages a queue holds, for whoever asks: a command, a worker, a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def counts(sqs: SQSClient, url: str) -> dict[str, int]:
    """
    Messages ``waiting``, ``in_flight`` and ``delayed``; SQS calls each of them approximate.

    Raises botocore's errors.
    """
    answer = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return {
        "waiting": int(answer["ApproximateNumberOfMessages"]),
        "in_flight": int(answer["ApproximateNumberOfMessagesNotVisible"]),
        "delayed": int(answer["ApproximateNumberOfMessagesDelayed"]),
    }
