"""What is asked of DynamoDB for an import, the files that it is given, and which of its ends are believed."""

from __future__ import annotations

import gzip
import json
from types import SimpleNamespace

import pytest

from ddbverify.config import Side, parse
from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.exports.export import open_export
from ddbverify.items.transform import Transform
from ddbverify.names import Fact
from replicator.backfill import files, importing, imports, ownership, preflight
from replicator.backfill.exported import ExportedItems
from replicator.backfill.files import Files, Place
from replicator.backfill.load import Load
from replicator.context import tables
from replicator.context.tables import NameTaken
from replicator.handlers.state import State
from tests.ddbverify.exports.exporting import full
from tests.replicator.fakes import KEYS, STATE, FakeDynamoDB, refusal

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders-v2"
IMPORT = f"{ARN}/import/01700000000000-0a1b2c3d"
PLACE = Place("imports", "m/orders/0a1b2c3d/", "123456789012", ({"day": "N"},))


class Buckets:
    """S3, as far as files of an import need it."""

    def __init__(self):
        self.there, self.owners = {}, set()

    def upload_fileobj(self, file, bucket, key, *, ExtraArgs, Config):  # noqa: N803
        assert not Config.use_threads
        self.owners.add(ExtraArgs["ExpectedBucketOwner"])
        self.there[key] = file.read()

    def head_object(self, *, Bucket, Key, ExpectedBucketOwner):  # noqa: N803
        return {"ContentLength": len(self.there[Key]), "ETag": str(hash(self.there[Key]))}

    def get_paginator(self, _):
        return self

    def paginate(self, *, Bucket, Prefix, ExpectedBucketOwner):  # noqa: N803
        found = [key for key in self.there if key.startswith(Prefix)]
        for at in range(0, len(found) + 1, 1):  # a page holds one, and the last none
            page = found[at : at + 1]
            yield (
                {
                    "Contents": [
                        {"Key": key, "Size": len(self.there[key]), "ETag": str(hash(self.there[key]))}
                        for key in page
                    ]
                }
                if page
                else {}
            )


# --- the files ----------------------------------------------------------------------------------


def shout(item):
    if item["v"] == "raises":
        raise LookupError
    if item["v"] == "nothing":
        return None
    if item["v"] == "large":
        return {**item, "v": "x" * 500_000}
    if item["v"] == "day":
        return {**item, "day": "monday"}
    return {**item, "v": item["v"].upper()}


def load_of(written, s3, state, **more):
    opened = open_export(written.address, (), Side(), KEYS, place="here")
    return Load(
        origin_client=None,
        origin="orders",
        target_client=None,
        target="orders-v2",
        transform=Transform("t:shout", shout, KEYS, KEYS),
        ledger=None,
        state=state,
        lock=SimpleNamespace(check=lambda: None),
        progress=lambda *_: None,
        reading="r",
        segments=range(len(opened.full.parts)),
        of=len(opened.full.parts),
        export=ExportedItems(opened),
        files=Files(s3, PLACE, KEYS),
        **more,
    )


def items(*values):
    return [{"id": {"S": f"k{at}{value}"}, "v": {"S": value}} for at, value in enumerate(values)]


def test_each_data_file_becomes_one_of_items_that_the_transform_makes(tmp_path):
    written = full(tmp_path, items("a", "é", "nothing"), items("nothing"), [], items("line\nbreak"))
    s3, state = Buckets(), State.of_pair(FakeDynamoDB(), STATE, "orders")

    counts = load_of(written, s3, state).run()

    assert counts == {"read": 5, "written": 3, "quarantined": 0}
    assert sorted(s3.there) == [f"{PLACE.prefix}000000.json.gz", f"{PLACE.prefix}000003.json.gz"]
    lines = gzip.decompress(s3.there[PLACE.key(0)]).splitlines()
    made = [json.loads(line) for line in lines]
    assert [one["Item"]["v"] for one in made] == [{"S": "A"}, {"S": "É"}]
    assert {tuple(one) for one in made} == {("Item",)}
    assert gzip.decompress(s3.there[PLACE.key(3)]).count(b"\n") == 1
    assert s3.owners == {"123456789012"}

    s3.there.pop(PLACE.key(0))
    assert load_of(written, s3, state).run() == counts, "what has a place is not written again"
    assert len(s3.there) == 1


def test_what_dynamodb_would_refuse_is_put_aside_and_in_no_file(tmp_path):
    """An import would only count it."""
    written = full(tmp_path, items("raises", "large", "day", "good"))
    s3, state = Buckets(), State.of_pair(FakeDynamoDB(), STATE, "orders")

    assert load_of(written, s3, state).run() == {"read": 4, "written": 1, "quarantined": 3}

    assert gzip.decompress(s3.there[PLACE.key(0)]).count(b"\n") == 1
    reasons = " ".join(one.reason for one in state.quarantined().values())
    assert "refused by DynamoDB: 500,0" in reasons
    assert "refused by DynamoDB: the key attribute 'day' is S, not N" in reasons
    assert "monday" not in reasons


def test_a_file_that_is_not_complete_is_not_put(tmp_path):
    written = full(tmp_path, items("a"), items("b"))
    written.data[1].write_bytes(written.data[1].read_bytes()[:10])
    s3, state = Buckets(), State.of_pair(FakeDynamoDB(), STATE, "orders")

    with pytest.raises(EngineError, match="does not match its checksum"):
        load_of(written, s3, state).run()
    assert PLACE.key(1) not in s3.there
    assert state.get(f"{Fact.LOADED}1") is None


def test_a_file_has_the_same_bytes_whenever_it_is_written(tmp_path):
    written = full(tmp_path, items("a", "b"))
    made = []
    for pair in ("one", "two"):
        s3 = Buckets()
        load_of(written, s3, State.of_pair(FakeDynamoDB(), STATE, pair)).run()
        made.append(s3.there)
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda there: there.pop(PLACE.key(0)), "1 missing, 0 changed, 0 of others"),
        (lambda there: there.update({PLACE.key(1): b"other"}), "0 missing, 1 changed, 0 of others"),
        (lambda there: there.update({f"{PLACE.prefix}x": b""}), "0 missing, 0 changed, 1 of others"),
    ],
)
def test_only_what_was_written_lies_where_it_is_imported_from(tmp_path, spoil, words):
    written = full(tmp_path, items("a"), items("b"), items("nothing"))
    s3, state = Buckets(), State.of_pair(FakeDynamoDB(), STATE, "orders")
    load_of(written, s3, state).run()
    kept = {int(segment): said for segment, said in state.all(Fact.LOADED)}
    s3.there["m/orders/another/000000.json.gz"] = b"of an earlier beginning"
    files.need_exactly(s3, PLACE, kept)

    spoil(s3.there)
    with pytest.raises(Refused, match=words):
        files.need_exactly(s3, PLACE, kept)


# --- what is asked for --------------------------------------------------------------------------


class Asked:
    """A target whose answers are *said*."""

    def __init__(self, **said):
        self.said, self.requests = said, []

    def import_table(self, **request):
        self.requests.append(request)
        if "refuses" in self.said:
            raise refusal(self.said["refuses"])
        return {"ImportTableDescription": {"ImportArn": IMPORT, "TableId": "1"}}

    def list_imports(self, *, TableArn, NextToken="0"):  # noqa: N803
        assert TableArn == ARN
        at = int(NextToken)
        more = {"NextToken": str(at + 1)} if at < 2 else {}
        return {"ImportSummaryList": [{"ImportArn": f"{IMPORT}{at}"}], **more}

    def describe_import(self, ImportArn):  # noqa: N803
        return {"ImportTableDescription": {"ImportArn": ImportArn, "ClientToken": f"t{ImportArn[-1]}"}}


def source(**description):
    index = {
        "IndexName": "by-day",
        "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2},
    }
    described = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "N"},
        ],
        "GlobalSecondaryIndexes": [index],
        "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
    }
    return SimpleNamespace(description=described | description, name="orders")


ON_DEMAND = {"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}


@pytest.mark.parametrize("on_demand", [True, False])
def test_the_request_is_of_one_place_one_token_and_a_table_like_the_source(on_demand):
    target = Asked()
    like = source(**ON_DEMAND) if on_demand else source()
    imports.ask(SimpleNamespace(target=target), like, "orders-v2", PLACE, "token")

    (request,) = target.requests
    made = request.pop("TableCreationParameters")
    assert request == {
        "ClientToken": "token",
        "S3BucketSource": {
            "S3BucketOwner": "123456789012",
            "S3Bucket": "imports",
            "S3KeyPrefix": "m/orders/0a1b2c3d/",
        },
        "InputFormat": "DYNAMODB_JSON",
        "InputCompressionType": "GZIP",
    }
    assert made["BillingMode"] == ("PAY_PER_REQUEST" if on_demand else "PROVISIONED")
    assert ("ProvisionedThroughput" in made) is not on_demand
    (index,) = made["GlobalSecondaryIndexes"]
    assert ("ProvisionedThroughput" in index) is not on_demand
    assert made["TableName"] == "orders-v2"


def test_a_limit_of_imports_says_that_others_have_to_end():
    context = SimpleNamespace(target=Asked(refuses="LimitExceededException"))
    with pytest.raises(EngineError, match="50 at once") as caught:
        imports.ask(context, source(), "orders-v2", PLACE, "token")
    assert "run the same command again" in caught.value.hint
    with pytest.raises(NameTaken):
        imports.ask(
            SimpleNamespace(target=Asked(refuses="ResourceInUseException")), source(), "o", PLACE, "t"
        )


def test_the_import_that_made_a_table_is_found_by_its_token():
    assert imports.found(Asked(), ARN, "t2")["ImportArn"] == f"{IMPORT}2"
    assert imports.found(Asked(), ARN, "t9") is None


@pytest.mark.parametrize(("token", "ours"), [("t1", True), ("t9", False)])
def test_a_table_whose_answer_was_lost_is_ours_by_the_token_of_its_import(token, ours):
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    state.put(ownership.MADE, how="import", token=token)
    context = SimpleNamespace(state=lambda _: state, emulator=True, target=Asked())
    table = SimpleNamespace(id="1", arn=ARN)
    assert ownership.is_ours(context, None, ownership.MADE, table) is ours


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rekeys": True}, "changes its keys"),
        ({"files": 50_001}, "50,001 data files"),
        ({"items": 0}, "holds no item"),
        ({"files": 50_000}, ""),
    ],
)
def test_what_cannot_be_imported_is_known(more, words):
    said = imports.cannot(source().description, **({"rekeys": False} | more))
    assert words in said
    assert bool(said) is bool(words)
    assert "local" in imports.cannot({"LocalSecondaryIndexes": [{}]}, rekeys=False)


# --- its end ------------------------------------------------------------------------------------

ALL = {"ImportStatus": "COMPLETED", "ProcessedItemCount": 3, "ImportedItemCount": 3, "ErrorCount": 0}


@pytest.mark.parametrize(
    ("said", "words", "hint"),
    [
        ({"ImportedItemCount": 2}, "items are missing, or two had one key", "import_from out"),
        ({"ProcessedItemCount": 2, "ImportedItemCount": 2}, "3 items were written", "import_from out"),
        ({"ProcessedItemCount": 4, "ImportedItemCount": 4}, "ProcessedItemCount 4", "import_from out"),
        ({"ErrorCount": 1}, "could not take all 3 items", "/aws-dynamodb/imports"),
        ({"ErrorCount": None}, "ErrorCount None", "import_from out"),
        ({"ImportedItemCount": None}, "ImportedItemCount None", "import_from out"),
        ({"ImportStatus": "FAILED", "FailureCode": "ItemValidationError"}, "is FAILED", "which names file"),
        (
            {"ImportStatus": "FAILED", "FailureCode": "S3AccessDenied", "FailureMessage": "not authorized"},
            r"FAILED \(S3AccessDenied: not authorized\)",
            "mend what it names, then run the same command again",
        ),
        ({"ImportStatus": "CANCELLED"}, "is CANCELLED", "run the same command again"),
        ({"ImportStatus": None}, "is None", "run the same command again"),
    ],
)
def test_an_import_counts_only_where_its_counts_are_those_of_the_files(said, words, hint):
    imports.need_all(ALL, 3, "orders-v2")
    with pytest.raises(imports.Failed, match=words) as caught:
        imports.need_all(ALL | said, 3, "orders-v2")
    assert hint in caught.value.hint


class Making:
    """A table that cannot be deleted until it has been described so often as *until*."""

    def __init__(self, until, becomes="ACTIVE"):
        self.until, self.looks, self.becomes, self.gone = until, 0, becomes, False

    def delete_table(self, **_):
        if self.looks < self.until:
            raise refusal("ResourceInUseException")
        self.gone = True

    def describe_table(self, **_):
        if self.gone:
            raise refusal("ResourceNotFoundException")
        self.looks += 1
        return {
            "Table": {
                "TableArn": ARN,
                "TableStatus": "CREATING" if self.looks < self.until else self.becomes,
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }
        }


@pytest.mark.parametrize("until", [0, 1, 3])
def test_a_table_that_is_being_made_is_deleted_once_it_is_there(until):
    table = Making(until)
    assert tables.delete(table, "orders-v2", poll_seconds=0)
    assert table.gone


class Updated(Making):
    """One that others change for ever."""

    def delete_table(self, **_):
        raise refusal("ResourceInUseException")


def test_a_table_that_others_change_is_not_waited_for():
    with pytest.raises(NameTaken):
        tables.delete(Updated(0, becomes="UPDATING"), "orders-v2", poll_seconds=0)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replication", "words"),
    [
        (
            'backfill = "export"\nexport_to = "s3://exports"\nimport_from = "imports"',
            "names no place in a bucket",
        ),
        ('backfill = "export"\nexport_to = "s3://exports"\nimport_from = "s3://imports/"', "names no place"),
        ('backfill = "scan"\nimport_from = "s3://imports"', 'does nothing with backfill = "scan"'),
    ],
)
def test_settings_of_imports_that_do_not_fit_are_refused(tmp_path, replication, words):
    text = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[replication]\n'
    config = parse(text + replication + "\n", tmp_path)
    with pytest.raises(ConfigurationError, match=words):
        preflight.need_settings(SimpleNamespace(config=config, emulator=True))


def test_another_place_is_another_beginning_until_it_is_asked_for():
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    replicated = SimpleNamespace(import_from="s3://imports")
    context = SimpleNamespace(
        state=lambda _: state,
        config=SimpleNamespace(name="m", replicated=replicated),
        target_identity="arn:aws:iam::123456789012:user/me",
    )
    plan = SimpleNamespace(pair=SimpleNamespace(id="orders"), source=source())
    first = importing._place(context, plan)
    assert importing._place(context, plan) == first
    assert first.prefix.startswith("m/orders/")
    assert first.indexes == ({"day": "N"},)
    replicated.import_from = "s3://others/some/where"
    second = importing._place(context, plan)
    assert second.address.startswith("s3://others/some/where/m/orders/")
    state.put(ownership.MADE, how="import", token="t")
    replicated.import_from = None
    assert importing._place(context, plan) == second
    assert {fact["files"] for _, fact in state.all(importing.IMPORTS)} == {first.address, second.address}
