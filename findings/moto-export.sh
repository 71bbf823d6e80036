#!/bin/sh
# moto 5.2.5 exports a DynamoDB table to S3 without a manifest, writes DynamoDB JSON where Ion was asked
# for, and never says that the export is complete. AWS writes manifest-summary.json and
# manifest-files.json, and a reader of exports has to begin with them.
#
# Seen: one object under AWSDynamoDB/ID/data/ and nothing else; its first line begins with {"Item": {"id":
# {"S"; ExportStatus IN_PROGRESS.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q 'moto[dynamodb,s3]==5.2.5' boto3==1.44.8
"$work/venv/bin/python" - <<'PYTHON'
import gzip
import os

os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
import boto3
from moto import mock_aws

with mock_aws():
    tables, s3 = boto3.client("dynamodb"), boto3.client("s3")
    s3.create_bucket(Bucket="exports")
    arn = tables.create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    tables.update_continuous_backups(
        TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    tables.put_item(TableName="orders", Item={"id": {"S": "7"}})
    export = tables.export_table_to_point_in_time(
        TableArn=arn, S3Bucket="exports", S3Prefix="nightly", ExportFormat="ION"
    )
    status = tables.describe_export(ExportArn=export["ExportDescription"]["ExportArn"])
    status = status["ExportDescription"]["ExportStatus"]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="exports")["Contents"]]
    content = gzip.decompress(s3.get_object(Bucket="exports", Key=keys[0])["Body"].read())
print("objects:", keys)
print("first line:", content.splitlines()[0])
print("status:", status)
assert len(keys) == 1 and "/data/" in keys[0]
assert content.startswith(b"{\"Item\": {\"id\": {\"S\"")
assert status == "IN_PROGRESS"
PYTHON
