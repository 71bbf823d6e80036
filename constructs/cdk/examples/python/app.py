"""
One pair between two accounts, as in the example in TypeScript.

The three rounds of docs/deploy-with-cdk.md are three states of this file: first the pair with its tables
alone, then `bundle`, `stream_arn`, `capture` and `ledger`, then `apply`.
"""

from aws_cdk import App
from aws_cdk.aws_dynamodb import Attribute, AttributeType
from ddbverify_cdk import (
    ApplyParameters,
    Bundle,
    CaptureParameters,
    DynamoDbMigration,
    MigrationTable,
    PairProps,
    TargetParameters,
)

app = App()
source = MigrationTable.from_table_name(
    "orders",
    account="111122223333",
    region="eu-west-1",
    partition_key=Attribute(name="id", type=AttributeType.STRING),
    sort_key=Attribute(name="at", type=AttributeType.NUMBER),
)
target = MigrationTable.from_table_name(
    "orders-v2",
    account="444455556666",
    region="eu-central-1",
    partition_key=Attribute(name="id", type=AttributeType.STRING),
    sort_key=Attribute(name="at", type=AttributeType.NUMBER),
)

DynamoDbMigration(
    app,
    "Orders2026",
    migration="orders-2026",
    tags={"team": "shop"},
    bundle=Bundle(bucket="replicator-orders-2026-base-bundlebucket-1a2b3c", key="code/5e6f.zip"),
    pairs=[
        PairProps(
            source=source,
            target=target,
            stream_arn="arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-11-01T00:00:00.000",
            capture=CaptureParameters(
                stream_view_type="NEW_AND_OLD_IMAGES",
                permissions_boundary="arn:aws:iam::111122223333:policy/boundary",
                log_retention_days=90,
            ),
            ledger=TargetParameters(permissions_boundary="arn:aws:iam::444455556666:policy/boundary"),
            apply=ApplyParameters(
                boundary=1793491200,
                queue_arn="arn:aws:sqs:eu-west-1:111122223333:replicator-orders-2026-orders-a9911116-1a2b3c4d.fifo",
                writer_role_arn="arn:aws:iam::444455556666:role/replicator-orders-2026-WriterRole-1a2b3c",
                permissions_boundary="arn:aws:iam::111122223333:policy/boundary",
                log_retention_days=90,
            ),
        )
    ],
)

app.synth()
