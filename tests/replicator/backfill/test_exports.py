"""What is asked of DynamoDB for an export, which exports fill no target, and their items as pages."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ddbverify.config import Side, parse
from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.exports import parts
from ddbverify.exports.export import open_export
from replicator.backfill import exports, preflight
from replicator.backfill.exported import ExportedItems
from tests.ddbverify.exports.exporting import AT, full, md5
from tests.replicator.fakes import KEYS, refusal

ITEMS = [{"id": {"S": f"k{number}"}, "b": {"B": "AAEC"}, "n": {"N": str(number)}} for number in range(90)]
FILE = """
[[tables]]
source = "orders"
target = "orders-v2"
"""


def read(written, segment, last=None):
    opened = open_export(written.address, (), Side(), KEYS, place="here")
    return list(ExportedItems(opened).pages(segment, last))


@pytest.fixture
def small_pages(monkeypatch):
    """A piece of a file is what 64 bytes of it inflate to."""
    monkeypatch.setattr(parts, "READ_BYTES", 64)
    monkeypatch.setattr(parts, "PAGE_BYTES", 500)


def test_each_data_file_is_read_to_its_end_and_only_then_has_one(tmp_path, small_pages):
    written = full(tmp_path, ITEMS[:60], ITEMS[60:], [])

    pages = read(written, 0)
    assert len(pages) > 3
    assert [page.last is None for page in pages] == [False] * (len(pages) - 1) + [True]
    assert sum(len(page.items) for page in pages) == 60
    assert bytes(pages[0].items[0]) == b'{"id":{"S":"k0"},"b":{"B":"AAEC"},"n":{"N":"0"}}'
    assert {page.units for page in pages} == {0.0}
    (end,) = read(written, 2)
    assert (list(end.items), end.last) == ([], None)


def test_a_load_goes_on_behind_each_of_its_places(tmp_path, small_pages):
    written = full(tmp_path, ITEMS)
    pages = read(written, 0)
    for at, page in enumerate(pages[:-1]):
        rest = [bytes(item) for later in read(written, 0, page.last) for item in later.items]
        assert rest == [bytes(item) for later in pages[at + 1 :] for item in later.items]


def cut(content):
    return content[: len(content) // 2]


def rewritten(text):
    return lambda _: gzip.compress(text)


@pytest.mark.parametrize(
    ("spoil", "fits", "words"),
    [
        (cut, False, "does not match its checksum"),
        (cut, True, "ends in the middle"),
        (rewritten(b""), True, "it holds 0 items"),
        (rewritten(b'{"Item":{"id":{"S":"k"}}}'), True, "its last line is not ended"),
        (rewritten(b'{"Item":{"id":{"S":"k"}},"More":1}\n'), True, "not of the form"),
        (rewritten(b"[]\n"), True, "not of the form"),
        (rewritten(b'{"Item":{"id":{"S":"k"}}}\n'), True, "it holds 1 item"),
    ],
)
def test_a_file_that_is_not_whole_has_no_end(tmp_path, spoil, fits, words):
    written = full(tmp_path, ITEMS)
    (file,) = written.data
    file.write_bytes(spoil(file.read_bytes()))
    if fits:
        written.files[0]["md5Checksum"] = md5(file.read_bytes())
        written.write_manifests()

    opened = open_export(written.address, (), Side(), KEYS, place="here")
    pages = ExportedItems(opened).pages(0, None)
    with pytest.raises(EngineError, match=words):
        assert all(page.last is not None for page in pages)


# --- what is asked for --------------------------------------------------------------------------


class Asked:
    """A source whose answers are *said*, and what it was asked."""

    def __init__(self, **said):
        self.said, self.requests = said, []

    def export_table_to_point_in_time(self, **request):
        self.requests.append(request)
        if "refuses" in self.said:
            raise refusal(self.said["refuses"])
        return {"ExportDescription": {"ExportArn": "arn:x"}}

    def describe_export(self, ExportArn):  # noqa: N803
        if "refuses" in self.said:
            raise refusal(self.said["refuses"])
        return {"ExportDescription": {"ExportArn": ExportArn, **self.said}}


def context(tmp_path, source, settings=""):
    text = f'{FILE}[replication]\nbackfill = "export"\nexport_to = "s3://exports"\n{settings}'
    return SimpleNamespace(source=source, source_side=Side(), config=parse(text, tmp_path))


SOURCE = SimpleNamespace(arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders", name="orders")


def test_the_request_is_of_one_second_and_of_one_token(tmp_path):
    source = Asked()
    exports.ask(context(tmp_path, source), SOURCE, 1_800_000_000, "token")
    more = 'export_owner = "444455556666"\nexport_key = "alias/k"\n'
    there = context(tmp_path, source, more)
    exports.ask(there, SOURCE, 1_800_000_000, "token")

    plain, special = source.requests
    assert plain == {
        "TableArn": SOURCE.arn,
        "S3Bucket": "exports",
        "ExportTime": datetime.fromtimestamp(1_800_000_000, UTC),
        "ExportFormat": "DYNAMODB_JSON",
        "ExportType": "FULL_EXPORT",
        "ClientToken": "token",
        "S3SseAlgorithm": "AES256",
    }
    assert special == plain | {
        "S3BucketOwner": "444455556666",
        "S3SseAlgorithm": "KMS",
        "S3SseKmsKeyId": "alias/k",
    }


@pytest.mark.parametrize("code", ["ExportConflictException", "InvalidExportTimeException"])
def test_what_is_never_made_is_not_asked_for_again(tmp_path, code):
    with pytest.raises(exports.Unusable, match=code):
        exports.ask(context(tmp_path, Asked(refuses=code)), SOURCE, 1, "token")


def test_what_may_be_made_later_is_asked_for_again(tmp_path):
    with pytest.raises(EngineError, match="LimitExceeded") as caught:
        exports.ask(context(tmp_path, Asked(refuses="LimitExceededException")), SOURCE, 1, "token")
    assert not isinstance(caught.value, exports.Unusable)


# --- which export fills a target ----------------------------------------------------------------


def source_of(written, **changed):
    facts = {"arn": written.summary["tableArn"], "id": "0", "name": "orders", "keys": KEYS}
    return SimpleNamespace(**(facts | changed))


COMPLETE = {
    "ExportStatus": "COMPLETED",
    "ExportType": "FULL_EXPORT",
    "ItemCount": 90,
    "ExportTime": datetime.fromtimestamp(AT, UTC),
}


@pytest.mark.parametrize(
    ("said", "changed", "words"),
    [
        ({"FilterSpecification": {"FilterExpression": "x"}}, {}, "it was filtered"),
        ({"ExportStatus": "IN_PROGRESS"}, {}, "it is IN_PROGRESS"),
        ({"ExportStatus": None}, {}, "it is None"),
        ({"ExportType": "INCREMENTAL_EXPORT"}, {}, "and INCREMENTAL_EXPORT"),
        ({"ItemCount": 91}, {}, "counts 91 items"),
        ({"ExportTime": datetime.fromtimestamp(AT + 60, UTC)}, {}, "another time"),
        ({}, {"id": "1"}, "another table than orders, or of an earlier one"),
        ({}, {"arn": "arn:aws:dynamodb:eu-west-1:123456789012:table/others"}, "another table"),
        ({"refuses": "ExportNotFoundException"}, {}, "DynamoDB does not know that export"),
    ],
)
def test_an_export_that_is_not_all_of_the_source_is_refused(tmp_path, said, changed, words):
    written = full(tmp_path, ITEMS)
    whole = context(tmp_path, Asked(**COMPLETE))
    assert exports.named(whole, source_of(written), written.address).epoch == AT

    there = context(tmp_path, Asked(**(COMPLETE | said)))
    with pytest.raises(ConfigurationError, match=words):
        exports.named(there, source_of(written, **changed), written.address)


def test_whoever_may_not_ask_whether_it_was_filtered_loads_nothing(tmp_path):
    written = full(tmp_path, ITEMS)
    with pytest.raises(EngineError, match="AccessDenied"):
        exports.named(
            context(tmp_path, Asked(refuses="AccessDeniedException")), source_of(written), written.address
        )


def test_a_damaged_manifest_is_refused(tmp_path):
    written = full(tmp_path, ITEMS)
    (written.folder / "manifest-files.json").write_text("")
    with pytest.raises(Refused, match="does not match its checksum"):
        exports.named(context(tmp_path, Asked(**COMPLETE)), source_of(written), written.address)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "replication", "words"),
    [
        ("", 'backfill = "export"', "needs a bucket"),
        ("", 'backfill = "export"\nexport_to = "exports"', "names no place in a bucket"),
        ("", 'backfill = "export"\nexport_to = "s3://exports/"', "names no place in a bucket"),
        ("", 'backfill = "export"\nexport_to = "s3://exports"\nexport_owner = "me"', "no account"),
        ('export = "s3://exports"', 'backfill = "export"', "names no export in a bucket"),
        ('export = "file:///x/AWSDynamoDB/01-a"', 'backfill = "export"', "names no export in a bucket"),
        ("", 'export_to = "exports"', "names no place in a bucket"),
    ],
)
def test_settings_of_exports_that_do_not_fit_are_refused(tmp_path, table, replication, words):
    config = parse(f"{FILE}{table}\n[replication]\noverlap = '60s'\n{replication}\n", tmp_path)
    with pytest.raises(ConfigurationError, match=words):
        preflight.need_settings(SimpleNamespace(config=config, emulator=False))


def test_a_pair_whose_export_is_named_needs_no_bucket(tmp_path):
    named = 'export = "s3://exports/a/AWSDynamoDB/01-a"'
    config = parse(f'{FILE}{named}\n[replication]\nbackfill = "export"\n', tmp_path)

    exports.need_settings(config)
    assert config.tables[0].export == "s3://exports/a/AWSDynamoDB/01-a"
    assert config.turned(1).tables[0].export is None
