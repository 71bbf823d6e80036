"""Which of a pair's two tables follows the other, and so whose pipeline it is that counts."""

from __future__ import annotations

from ddbverify import names
from ddbverify.config import Config, Pair
from ddbverify.errors import NotFoundError
from ddbverify.names import Fact
from ddbverify.tables import aws


def that_follows(config: Config, pair: Pair) -> tuple[Config, Pair]:
    """
    The settings and the pair of the direction that follows, or that was the last to do so.

    Behind a flip that has left a way back, source and target have changed places in both.

    Raises:
        EngineError: AWS refused the read.
    """
    client = aws.client(config.source, "dynamodb", region=names.region_of(pair.source))
    table = names.state_table(config.name)
    try:
        with aws.translated(f"read the state table {table}"):
            found = client.query(
                TableName=table,
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk AND sk = :sk",
                ExpressionAttributeValues={":pk": {"S": names.MIGRATION}, ":sk": {"S": Fact.LIVE}},
            )["Items"]
    except NotFoundError:
        return config, pair
    cycle = int(found[0].get("cycle", {}).get("N", "0")) if found else 0
    turned = config.turned(cycle)
    for named, one in zip(config.tables, turned.tables, strict=True):
        if named.id == pair.id:
            return turned, one
    return config, pair  # not of these settings, and so of no pipeline of theirs


def number_of(turned: Config, config: Config) -> int:
    """Which direction of a migration (*config*) these settings are of; 0 is the migration itself."""
    return 0 if turned is config else int(turned.name.rpartition("-")[2])
