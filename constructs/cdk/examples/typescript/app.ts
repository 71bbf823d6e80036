// One pair between two accounts. The three rounds of docs/deploy-with-cdk.md are three states of this file:
// first `pairs` with tables alone, then `bundle`, `streamArn`, `capture` and `ledger`, then `apply`.
import { App } from "aws-cdk-lib";
import { AttributeType } from "aws-cdk-lib/aws-dynamodb";
import { DynamoDbMigration, MigrationTable } from "ddbverify-cdk";

const app = new App();
const source = MigrationTable.fromTableName("orders", {
  account: "111122223333",
  region: "eu-west-1",
  partitionKey: { name: "id", type: AttributeType.STRING },
  sortKey: { name: "at", type: AttributeType.NUMBER },
});
const target = MigrationTable.fromTableName("orders-v2", {
  account: "444455556666",
  region: "eu-central-1",
  partitionKey: { name: "id", type: AttributeType.STRING },
  sortKey: { name: "at", type: AttributeType.NUMBER },
});

new DynamoDbMigration(app, "Orders2026", {
  migration: "orders-2026",
  tags: { team: "shop" },
  bundle: { bucket: "replicator-orders-2026-base-bundlebucket-1a2b3c", key: "code/5e6f.zip" },
  pairs: [
    {
      source,
      target,
      streamArn: "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-11-01T00:00:00.000",
      capture: {
        streamViewType: "NEW_AND_OLD_IMAGES",
        permissionsBoundary: "arn:aws:iam::111122223333:policy/boundary",
        logRetentionDays: 90,
      },
      ledger: {
        permissionsBoundary: "arn:aws:iam::444455556666:policy/boundary",
      },
      apply: {
        boundary: 1793491200,
        queueArn: "arn:aws:sqs:eu-west-1:111122223333:replicator-orders-2026-orders-a9911116-1a2b3c4d.fifo",
        writerRoleArn: "arn:aws:iam::444455556666:role/replicator-orders-2026-WriterRole-1a2b3c",
        permissionsBoundary: "arn:aws:iam::111122223333:policy/boundary",
        logRetentionDays: 90,
      },
    },
  ],
});
