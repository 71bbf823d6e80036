"""Each way to send numbers, with the library that reads them; what fails is a sentence and nothing else."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
from contextlib import contextmanager

import pytest

from ddbverify.config import Metrics
from ddbverify.metrics import otlp, sending, statsd, textfile
from ddbverify.metrics.measures import Measured

MEASURED = [
    Measured("run.duration", 12.5, {"migration": "shop"}),
    Measured("run.findings", 3, {"migration": "shop", "pair": "orders-1", "state": "missing"}),
    Measured("run.findings", 0, {"migration": "shop", "pair": "orders-1", "state": "different"}),
]


def send(settings, folder, measure=lambda: MEASURED):
    said = []
    sending.send(measure, settings, folder, "ddbverify_run_shop", said.append)
    return said


# --- textfile --------------------------------------------------------------------------------


def test_the_textfile_is_read_by_prometheus_own_parser(tmp_path):
    from prometheus_client.parser import text_string_to_metric_families

    assert send(Metrics(textfile="."), tmp_path) == []
    text = (tmp_path / "ddbverify_run_shop.prom").read_text()
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found[("ddbverify_run_duration_seconds", (("migration", "shop"),))] == 12.5
    assert (
        found[("ddbverify_run_findings", (("migration", "shop"), ("pair", "orders-1"), ("state", "missing")))]
        == 3
    )
    assert "# TYPE ddbverify_run_findings gauge" in text
    assert [file.name for file in tmp_path.iterdir()] == ["ddbverify_run_shop.prom"], "and no half of one"


def test_a_textfile_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    send(Metrics(textfile="."), tmp_path)
    before = (tmp_path / "ddbverify_run_shop.prom").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prometheus_client.exposition.generate_latest", full)
    (said,) = send(Metrics(textfile="."), tmp_path, lambda: MEASURED[:1])
    assert said == "metrics were not sent to textfile: No space left on device."
    assert (tmp_path / "ddbverify_run_shop.prom").read_bytes() == before


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    (said,) = send(Metrics(textfile="collector"), tmp_path)
    assert said == "metrics were not sent to textfile: No such file or directory."
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_file_is_one(tmp_path):
    said = []
    sending.send(lambda: MEASURED, Metrics(textfile="."), tmp_path, "ddbverify_diff_../a b", said.append)
    assert said == []
    assert [file.name for file in tmp_path.iterdir()] == ["ddbverify_diff_a_b.prom"]


# --- OTLP ------------------------------------------------------------------------------------


@contextmanager
def collector(status=200):
    """A collector of our own: what it was sent, and where."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            got.append((self.path, self.headers["Content-Type"], self.rfile.read(length)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_collector_gets_one_request_that_opentelemetrys_own_types_read(tmp_path):
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    with collector() as (address, got):
        assert send(Metrics(otlp=address), tmp_path) == []
    ((path, kind, content),) = got
    assert (path, kind) == ("/v1/metrics", "application/x-protobuf")
    request = ExportMetricsServiceRequest.FromString(content)
    (resource,) = request.resource_metrics
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names["service.name"] == "ddbverify"
    metrics = {one.name: one for scope in resource.scope_metrics for one in scope.metrics}
    assert set(metrics) == {"ddbverify.run.duration", "ddbverify.run.findings"}
    assert metrics["ddbverify.run.duration"].unit == "s"
    points = {
        tuple(sorted((label.key, label.value.string_value) for label in point.attributes)): point.as_double
        or point.as_int
        for point in metrics["ddbverify.run.findings"].gauge.data_points
    }
    assert points[(("migration", "shop"), ("pair", "orders-1"), ("state", "missing"))] == 3
    assert len(points) == 2


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://host:4318", "http://host:4318/v1/metrics"),
        ("http://host:4318/", "http://host:4318/v1/metrics"),
        ("https://host/api/otlp/v1/metrics", "https://host/api/otlp/v1/metrics"),
    ],
)
def test_a_base_address_gets_the_path_of_metrics(given, used):
    assert otlp.address(given) == used


def test_a_collector_that_refuses_is_a_sentence_and_no_log(tmp_path, capfd):
    with collector(400) as (address, got):
        (said,) = send(Metrics(otlp=address), tmp_path)
    assert len(got) == 1
    assert said == f"metrics were not sent to otlp: the collector at {address[7:]} did not take them."
    assert capfd.readouterr() == ("", "")


def test_so_is_one_that_is_not_there(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(otlp, "SECONDS", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        (said,) = send(Metrics(otlp=f"http://127.0.0.1:{taken.getsockname()[1]}"), tmp_path)
    assert said.startswith("metrics were not sent to otlp: ")
    assert capfd.readouterr() == ("", "")


# --- statsd ----------------------------------------------------------------------------------


def test_statsd_gets_lines_with_tags(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        assert send(Metrics(statsd=f"127.0.0.1:{server.getsockname()[1]}"), tmp_path) == []
        lines = server.recv(4096).decode().splitlines()
    assert lines == [
        "ddbverify.run.duration:12.5|g|#migration:shop",
        "ddbverify.run.findings:3|g|#migration:shop,pair:orders-1,state:missing",
        "ddbverify.run.findings:0|g|#migration:shop,pair:orders-1,state:different",
    ]


def test_no_datagram_is_longer_than_a_packet_and_no_line_is_cut():
    many = MEASURED * 200
    sent = list(statsd.datagrams(many))
    assert max(map(len, sent)) <= statsd.MOST_BYTES
    assert sum(len(one.splitlines()) for one in sent) == len(many)


def test_what_would_begin_another_line_or_tag_does_not():
    (sent,) = statsd.datagrams([Measured("run.duration", 1, {"pair": "a|#b:c,d\ne:9|c", "migration": ""})])
    assert sent == b"ddbverify.run.duration:1|g|#pair:a__b_c_d_e_9_c"


def test_a_host_that_does_not_exist_is_a_sentence(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert send(Metrics(statsd="nowhere:8125"), tmp_path) == [
        "metrics were not sent to statsd: Name or service not known."
    ]


# --- all of them -----------------------------------------------------------------------------


def test_where_nothing_is_set_nothing_is_counted(tmp_path):
    def never():
        raise AssertionError("counted")

    assert send(Metrics(), tmp_path, never) == []


def test_one_way_that_fails_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(statsd, "send", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("SENTINEL")))
    said = send(Metrics(statsd="localhost:1", textfile="."), tmp_path)
    assert said == ["metrics were not sent to statsd: RuntimeError."]
    assert (tmp_path / "ddbverify_run_shop.prom").exists()


def test_a_defect_in_counting_is_a_sentence_without_its_text(tmp_path):
    def fail():
        raise KeyError("SENTINEL")

    (said,) = send(Metrics(textfile="."), tmp_path, fail)
    assert said == "metrics were not sent: they could not be counted (KeyError)."


@pytest.mark.parametrize(
    ("settings", "module", "way"),
    [
        (Metrics(textfile="."), "prometheus_client", "textfile"),
        (
            Metrics(otlp="http://127.0.0.1:1"),
            "opentelemetry.exporter.otlp.proto.http.metric_exporter",
            "otlp",
        ),
    ],
)
def test_without_the_extra_a_sentence_names_it(tmp_path, monkeypatch, settings, module, way):
    monkeypatch.setitem(sys.modules, module, None)
    (said,) = send(settings, tmp_path)
    assert f"metrics were not sent to {way}: " in said
    assert "pip install 'ddbverify[metrics]'" in said


def test_all_that_is_written_is_a_file_of_the_collector(tmp_path):
    textfile.write(MEASURED, tmp_path, "one")
    textfile.write(MEASURED[:1], tmp_path, "one")
    assert "findings" not in (tmp_path / "one.prom").read_text(), "the last run's, and no other's"
