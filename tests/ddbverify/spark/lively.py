"""Live tables of an engine, compared by tasks and on this machine, for tests with Spark and without."""

from __future__ import annotations

import json

from click.testing import CliRunner

from ddbverify.cli import main

SCHEMA = {"pk": "S", "sk": "N"}
REGIONS = ("eu-west-1", "eu-central-1")

OF_ORDER = ("reasons", "causes", "notes")
OF_THE_RUN = ("started", "ended")


class Tables:
    """
    Two tables of one name, one in each region.

    Args:
        aws: An embedded AWS, or one as another account.
        name: Of both.
        schema: Of their keys.
    """

    def __init__(self, aws, name, schema=None):
        self.aws, self.name, self.schema = aws, name, schema or SCHEMA
        self.source, self.target = (aws.client("dynamodb", region) for region in REGIONS)
        for client in (self.source, self.target):
            client.create_table(
                TableName=name,
                AttributeDefinitions=[
                    {"AttributeName": one, "AttributeType": kind} for one, kind in self.schema.items()
                ],
                KeySchema=[
                    {"AttributeName": one, "KeyType": role}
                    for one, role in zip(self.schema, ("HASH", "RANGE"), strict=False)
                ],
                BillingMode="PAY_PER_REQUEST",
            )

    def fill(self, source, target):
        for client, items in ((self.source, source), (self.target, target)):
            for begin in range(0, len(items), 25):
                requests = [{"PutRequest": {"Item": typed(one)}} for one in items[begin : begin + 25]]
                client.batch_write_item(RequestItems={self.name: requests})
        return self

    def diff(self, *options):
        """Run it; the findings, sorted, and the summary without what no two runs share."""
        command = ["diff", self.name, self.name, "--source-region", REGIONS[0], "--target-region", REGIONS[1]]
        command += ["--format", "jsonl", "--quiet", *options]
        if "--settle" not in options:
            command += ["--settle", "0s"]
        done = CliRunner().invoke(main, command, catch_exceptions=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert lines, done.output
        summary = lines[-1].get("summary", lines[-1])
        for name in OF_ORDER:
            summary[name] = sorted(summary.get(name, []), key=str)
        for name in OF_THE_RUN:
            summary.pop(name, None)
        findings = [one for one in lines if "finding" in one]
        return sorted(json.dumps(one, sort_keys=True) for one in findings), summary, done.exit_code

    def both(self, *options):
        """Run it by tasks and on this machine, and hold one against the other."""
        place = options.index("--spark-staging") if "--spark-staging" in options else len(options)
        here = self.diff(*options[:place], *options[place + 2 :], "--processes", "1")
        there = self.diff(*options, "--engine", "spark")
        there[1]["notes"] = [note for note in there[1]["notes"] if "by a later attempt" not in note]
        for name in here[1] | there[1]:
            assert (name, there[1].get(name)) == (name, here[1].get(name))
        assert there == here
        return there


def typed(item):
    """As boto3 wants it: binary values as bytes."""
    from ddbverify.items.values import with_bytes

    return with_bytes(item)
