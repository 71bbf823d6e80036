"""Runs in a bucket: which are fetched, what is kept of one, and that nothing runs on half of them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from ddbverify.config import load
from ddbverify.errors import EngineError
from ddbverify.evidence import folders
from replicator.commands import runs_kept, verify
from replicator.context.context import Context

OLD, BASE, NEWEST = (f"202611{day}T020000Z-{'0' * 32}" for day in ("10", "28", "30"))


class S3:
    """A bucket of one page; what it refuses, it refuses with AccessDenied."""

    def __init__(self, objects=(), refused=()):
        self.objects, self.refused = dict(objects), set(refused)

    def get_paginator(self, operation):
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket, Prefix):  # noqa: N803 - as botocore calls it
        assert Bucket == "bucket"
        self._need("list")
        return [{"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}]

    def get_object(self, *, Bucket, Key):  # noqa: N803
        assert Bucket == "bucket"
        self._need(Key)
        return {"Body": SimpleNamespace(read=lambda: self.objects[Key])}

    def put_object(self, *, Bucket, Key, Body):  # noqa: N803
        assert Bucket == "bucket"
        self._need(Key)
        self.objects[Key] = Body

    def _need(self, what):
        if what in self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Any")


def key(run, name=folders.EVIDENCE):
    return f"runs/{run}/{name}"


@pytest.fixture
def config(tmp_path):
    (tmp_path / "migration.toml").write_text('[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n')
    return load(tmp_path / "migration.toml")


def test_what_a_chain_may_stand_on_is_fetched_and_nothing_older(config):
    s3 = S3({key(run): run.encode() for run in (OLD, BASE, NEWEST)})
    s3.objects |= {key(NEWEST, "report.html"): b"", key("../../x"): b"", key("latest"): b""}

    assert runs_kept.fetch(s3, "bucket", config) == [BASE, NEWEST]
    assert (folders.runs(config) / NEWEST / folders.EVIDENCE).read_bytes() == NEWEST.encode()
    assert folders.last(config).name == NEWEST
    assert runs_kept.names(config) == {BASE, NEWEST}
    assert runs_kept.fetch(s3, "bucket", config) == [], "what is here is not fetched again"


def test_the_newest_is_fetched_however_old(config):
    assert runs_kept.fetch(S3({key(OLD): b"x"}), "bucket", config) == [OLD]


def test_no_key_of_an_item_leaves_and_the_evidence_goes_last(config, tmp_path):
    folder = tmp_path / NEWEST
    folder.mkdir()
    names = (
        folders.EVIDENCE,
        folders.EVENTS,
        folders.FINDINGS,
        folders.REPAIR,
        folders.REPAIR_KEY,
        "report.html",
    )
    for name in (*names, folders.RECORD, folders.SETTINGS, folders.SEALED):
        (folder / name).write_text(name)
    s3 = S3()

    assert runs_kept.keep(s3, "bucket", folder)[-1] == folders.EVIDENCE
    assert set(s3.objects) == {
        key(NEWEST, name) for name in (folders.EVIDENCE, folders.EVENTS, folders.SEALED, "report.html")
    }
    s3 = S3(refused=[key(NEWEST, folders.EVENTS)])
    with pytest.raises(EngineError):
        runs_kept.keep(s3, "bucket", folder)
    assert s3.objects == {}, "a run that is not kept whole has no evidence there"


@pytest.fixture
def commanded(config, monkeypatch):
    """`replicator verify` with a run that leaves a folder, in place of the child."""

    def call(s3, status=0):
        ran = []

        def run(config_path):
            ran.append(sorted(runs_kept.names(config)))
            if status != 2:
                (folders.runs(config) / NEWEST).mkdir(parents=True)
                (folders.runs(config) / NEWEST / folders.EVIDENCE).write_text("signed")
            return status

        monkeypatch.setattr(verify, "_run", run)
        monkeypatch.setattr(Context, "source_client", property(lambda _: lambda service: s3))
        path = str(config.folder / "migration.toml")
        ended = CliRunner().invoke(verify.command, ["--config", path, "--bucket", "bucket", "--json"])
        return ended.exit_code, json.loads(ended.stdout), ran

    return call


@pytest.mark.parametrize("status", [0, 1, 2, 3, 6])
def test_the_exit_status_is_that_of_the_run_and_its_folder_is_kept(commanded, status):
    s3 = S3({key(BASE): b"x"})
    code, said, ran = commanded(s3, status)
    assert (code, said["status"], said["ok"]) == (status, status, status == 0)
    assert ran == [[BASE]]
    assert (key(NEWEST) in s3.objects) is (status != 2)


@pytest.mark.parametrize("refused", ["list", key(BASE)])
def test_what_was_not_fetched_whole_is_no_ground_for_a_run(commanded, refused):
    code, said, ran = commanded(S3({key(BASE): b"x"}, [refused]))
    assert (code, said["ok"], ran) == (6, False, [])


def test_a_run_that_is_not_kept_fails_although_it_passed(commanded):
    code, said, ran = commanded(S3({}, [key(NEWEST)]))
    assert (code, said["ok"], len(ran)) == (6, False, 1)
