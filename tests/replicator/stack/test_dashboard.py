"""Panels, and what CloudWatch and Grafana are given of them: each metric is there, and everything fits."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from ddbverify.names import METRICS, stack_name
from replicator.handlers import consumer, forwarder
from replicator.handlers.metrics import emit
from replicator.stack import dashboard, grafana
from replicator.stack.dashboard import Places
from replicator.stack.panels import LONGEST_SHOWN, Watched, panels
from tests.replicator.stack.test_templates import TEMPLATES, of_type

ORDERS = Watched(
    migration="shop",
    pair="orders-1a2b3c4d",
    shown="orders",
    source="orders",
    target="orders-v2",
    forwarder="replicator-shop-orders-capture-Forwarder-AB12",
    queue="replicator-shop-orders-1a2b3c4d-0f0f0f0f.fifo",
    dead_letters="replicator-shop-orders-1a2b3c4d-0f0f0f0f-dead.fifo",
    consumer="replicator-shop-orders-apply-Consumer-CD34",
    ledger="replicator-shop-orders-1a2b3c4d-ledger-0",
    alarms=("arn:aws:cloudwatch:eu-west-1:111122223333:alarm:replicator-shop-orders-capture-GapAlarm-1",),
)
CUSTOMERS = replace(ORDERS, pair="customers-5e6f", shown="customers", source="customers")
HERE = Places(source="eu-west-1", target="eu-west-1")
LONGEST = Watched(
    migration="m" * 30,
    pair="p" * 23,
    shown="s" * LONGEST_SHOWN,
    source="s" * 255,
    target="t" * 255,
    forwarder="f" * 64,
    queue="q" * 80,
    dead_letters="d" * 80,
    consumer="c" * 64,
    ledger="l" * 85,
    # An ARN's 60 characters, and of CloudFormation's name the longest stack, logical id and suffix.
    alarms=("a" * (60 + 73 + 19 + 15),) * 11,
)

# What AWS sends with exactly these dimensions, a metric of one function, queue or table:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
OF_AWS = {
    ("AWS/Lambda", "FunctionName"): {
        *("Duration", "Errors", "Invocations", "IteratorAge", "Throttles"),
    },
    ("AWS/SQS", "QueueName"): {
        *("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesNotVisible"),
        *("ApproximateNumberOfMessagesVisible", "NumberOfEmptyReceives", "NumberOfMessagesSent"),
    },
    ("AWS/DynamoDB", "TableName"): {
        *("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "WriteThrottleEvents"),
    },
}


def lines(*pairs: Watched) -> list[Any]:
    return [line for panel in panels(pairs) for line in panel.lines]


def sent_by(handler: Any) -> set[str]:
    """Names that a handler's module gives numbers: keys of what it writes down to be sent."""
    tree = ast.parse(inspect.getsource(handler))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            found.add(node.slice.value)
    return found


def test_every_metric_of_ours_is_one_that_the_handler_sends(capsys: pytest.CaptureFixture[str]) -> None:
    sent = {"forwarder": sent_by(forwarder), "consumer": sent_by(consumer)}
    ours = [line for line in lines(ORDERS) if line.namespace == METRICS]
    for line in ours:
        service = line.dimensions["service"]
        assert line.metric in sent[service], line
        emit(service, {"MIGRATION": "shop", "PAIR": "orders-1a2b3c4d"}, {line.metric: 1})
        document = json.loads(capsys.readouterr().out)
        (names,) = document["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
        assert {name: document[name] for name in names} == line.dimensions
    assert len(ours) >= 10


def test_every_other_metric_is_one_that_aws_has_with_these_dimensions() -> None:
    others = [line for line in lines(ORDERS) if line.namespace != METRICS]
    for line in others:
        (dimension,) = line.dimensions
        assert line.metric in OF_AWS[line.namespace, dimension], line
    named = {(line.namespace, next(iter(line.dimensions)), line.metric) for line in others}
    assert named == {(*where, metric) for where, metrics in OF_AWS.items() for metric in metrics}


def test_everything_that_rings_an_alarm_is_shown_and_its_limit_drawn() -> None:
    shown = {(line.namespace, line.metric): panel for panel in panels([ORDERS]) for line in panel.lines}
    of_pipeline = list(
        of_type("AWS::CloudWatch::Alarm", "capture", "apply")
    )  # the auditor is optional, and workers have no dashboard
    for name, alarm in of_pipeline:
        panel = shown[alarm["Namespace"], alarm["MetricName"]]
        if alarm["Threshold"]:
            assert alarm["Threshold"] in panel.limits.values(), name
    limits = {limit for panel in panels([ORDERS]) for limit in panel.limits.values()}
    alarms = {alarm["Threshold"] for _, alarm in of_pipeline}
    assert limits - alarms == {24 * 3600 * 1000}, "the stream's 24 hours are no alarm"


@pytest.mark.parametrize("part", ["capture", "queue", "apply", "audit"])
def test_a_stack_names_all_of_its_alarms(part: Any) -> None:
    ((separator, found),) = TEMPLATES[part]["Outputs"]["Alarms"]["Value"].values()
    assert separator == ","
    assert [one["Fn::GetAtt"] for one in found] == [
        [name, "Arn"] for name, _ in of_type("AWS::CloudWatch::Alarm", part)
    ]


def test_several_pairs_are_lines_of_the_same_panels() -> None:
    one, two = panels([ORDERS]), panels([ORDERS, CUSTOMERS])
    assert [panel.title for panel in one] == [panel.title for panel in two]
    assert len(lines(ORDERS, CUSTOMERS)) == 2 * len(lines(ORDERS))
    for panel in two:
        assert len({line.label for line in panel.lines}) == len(panel.lines), (
            "no two lines are called the same"
        )


def test_before_phase_two_nothing_is_shown_of_what_is_not_there() -> None:
    begun = replace(ORDERS, consumer="", ledger="")
    named = {value for line in lines(begun) for value in line.dimensions.values()}
    assert "" not in named
    assert not {ORDERS.consumer, ORDERS.ledger} & named


def expanded(rows: list[list[Any]]) -> list[tuple[list[str], dict[str, str]]]:
    """Metrics as CloudWatch reads them: a full stop is what the row before has there."""
    found: list[tuple[list[str], dict[str, str]]] = []
    for *words, options in rows:
        before = found[-1][0] if found else []
        found.append(([before[at] if word == "." else word for at, word in enumerate(words)], options))
    return found


def test_cloudwatch_is_given_exactly_the_lines() -> None:
    made = dashboard.body([ORDERS, CUSTOMERS], HERE)
    graphs = [one for one in made["widgets"] if one["type"] == "metric"]
    wanted = panels([ORDERS, CUSTOMERS])
    assert [one["properties"]["title"] for one in graphs] == [panel.title for panel in wanted]
    for graph, panel in zip(graphs, wanted, strict=True):
        found = expanded(graph["properties"]["metrics"])
        assert found == [
            (
                [line.namespace, line.metric, *(word for pair in line.dimensions.items() for word in pair)],
                {"label": line.label, "stat": line.statistic},
            )
            for line in panel.lines
        ]
        assert graph["properties"]["region"] == "eu-west-1"
        assert graph["width"] <= dashboard.WIDTH
    (alarms,) = [one for one in made["widgets"] if one["type"] == "alarm"]
    assert alarms["properties"]["alarms"] == [*ORDERS.alarms, *CUSTOMERS.alarms]


def test_a_follower_elsewhere_is_read_there_or_said_not_to_be() -> None:
    def regions(places: Places) -> set[str]:
        widgets = dashboard.body([ORDERS], places)["widgets"]
        return {one["properties"]["region"] for one in widgets if one["type"] == "metric"}

    assert regions(Places(source="eu-west-1", target="eu-central-1")) == {"eu-west-1", "eu-central-1"}
    other = Places(source="eu-west-1", target="")
    assert regions(other) == {"eu-west-1"}
    assert "another account" in dashboard.body([ORDERS], other)["widgets"][0]["properties"]["markdown"]


def test_the_longest_names_fit_into_a_request_and_no_widget_shows_too_many_alarms() -> None:
    pairs = [LONGEST] * dashboard.MOST_PAIRS
    text = dashboard.template(
        pairs, Places(source="r" * 14, target="r" * 14), stack_name("m" * 30, "dashboard")
    )
    assert len(text.encode()) <= 51_200
    assert sum(len(pair.alarms) for pair in pairs) <= 100
    many = [ORDERS] * (dashboard.MOST_PAIRS + 1)
    assert [len(one) for one in dashboard.chunks(many)] == [dashboard.MOST_PAIRS, 1]


def test_the_template_holds_the_document_as_it_is() -> None:
    quoted = replace(ORDERS, shown='o\'rders → "v2"')
    loaded = yaml.safe_load(
        dashboard.template([quoted], HERE, "replicator-shop-dashboard").replace("!Ref ", "")
    )
    properties = loaded["Resources"]["Dashboard"]["Properties"]
    assert json.loads(properties["DashboardBody"]) == dashboard.body([quoted], HERE)
    assert properties["DashboardName"] == "replicator-shop-dashboard-eu-west-1", "one list for all regions"


@pytest.mark.skipif(find_spec("cfnlint") is None, reason="cfn-lint is not installed; `make lint` runs it")
def test_cfn_lint_finds_nothing(tmp_path: Any) -> None:
    file = tmp_path / "dashboard.yaml"
    file.write_text(dashboard.template([ORDERS, CUSTOMERS], HERE, "replicator-shop-dashboard"), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_is_given_the_same_panels() -> None:
    places = Places(source="eu-west-1", target="eu-central-1")
    made = grafana.document([ORDERS, CUSTOMERS], places)
    for shown, panel in zip(made["panels"], panels([ORDERS, CUSTOMERS]), strict=True):
        assert shown["title"] == panel.title
        assert panel.means in shown["description"]
        assert [
            (one["namespace"], one["metricName"], one["statistic"], one["label"]) for one in shown["targets"]
        ] == [(line.namespace, line.metric, line.statistic, line.label) for line in panel.lines]
        assert [one["dimensions"] for one in shown["targets"]] == [
            {name: [value] for name, value in line.dimensions.items()} for line in panel.lines
        ]
        region = "eu-west-1" if panel.place == "source" else "eu-central-1"
        assert {one["region"] for one in shown["targets"]} == {region}
        steps = [step["value"] for step in shown["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert steps == [None, *panel.limits.values()]
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    places_taken = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]}
    assert len(places_taken) == len(made["panels"])
    assert "datasource" in {one["type"] for one in made["__inputs"]}


def test_grafanas_own_types_read_the_document_and_write_it_again() -> None:
    """grafana-foundation-sdk is made of Grafana's schemas; what its types do not know is lost on the way."""
    types = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import cloudwatch, timeseries

    made = json.loads(json.dumps(grafana.document([ORDERS, CUSTOMERS], HERE)))
    again = json.loads(JSONEncoder(sort_keys=True).encode(types.Dashboard.from_json(made)))
    imported = {"__inputs", "__requires"}  # of a document that is shared: they are no part of a dashboard
    assert not [key for key in made.keys() - imported if key not in again]
    for panel in made["panels"]:
        read = timeseries.FieldConfig.from_json(panel["fieldConfig"]["defaults"]["custom"])
        assert json.loads(JSONEncoder().encode(read)).keys() >= {"thresholdsStyle", "spanNulls"}
        for target in panel["targets"]:
            query = cloudwatch.CloudWatchMetricsQuery.from_json(target)
            written = json.loads(JSONEncoder().encode(query))
            assert not [key for key in target if key not in written and target[key] not in ("", None)]
            assert written["dimensions"] == target["dimensions"]


@pytest.mark.skipif(find_spec("cfnlint") is None, reason="cfn-lint is not installed; `make lint` runs it")
def test_the_operators_policy_has_what_cloudformation_asks_for_on_his_behalf() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", "AWS::CloudWatch::Dashboard").schema
    wanted = {
        action
        for name, handler in schema["handlers"].items()
        if name != "list"
        for action in handler["permissions"]
    }
    text = (Path(__file__).parents[3] / "docs/permissions.md").read_text(encoding="utf-8")
    granted = json.loads(
        next(block for block in text.split("```json\n") if '"Dashboards"' in block).split("```")[0]
    )
    (statement,) = [one for one in granted["Statement"] if one["Sid"] == "Dashboards"]
    assert set(statement["Action"]) == wanted
    region = "eu-west-1"
    (pattern,) = [statement["Resource"].rpartition("dashboard/")[2]]
    assert fnmatch(dashboard.name(stack_name("orders-2026", "dashboard"), region), pattern)
    assert fnmatch(dashboard.name(stack_name("orders-2026-back-1", "dashboard", "2"), region), pattern)
