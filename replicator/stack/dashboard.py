"""
The panels as a dashboard of CloudWatch, and the template of the stack that holds it. Pure.

Source:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from replicator.stack.panels import MINUTE, Line, Panel, Watched, panels

_Pair = TypeVar("_Pair")

MOST_PAIRS: Final = 8
"""
Pairs of one dashboard: with the longest names its template is still shorter than the 51,200 bytes that
CloudFormation takes in a request, and its alarms are fewer than the 100 that a widget shows.
"""

WIDTH: Final = 24  # of CloudWatch's grid
_HEIGHT: Final = 6
_AXIS: Final = {"seconds": "s", "milliseconds": "ms", "count": "", "units": "units a minute"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """
    Where the metrics are.

    Args:
        source: Region of the table that is followed, and of the pipeline.
        target: Region of the table that follows; empty where it is another account's, whose metrics
            CloudWatch shows only where the accounts are linked.
    """

    source: str
    target: str


def chunks(pairs: Sequence[_Pair]) -> list[Sequence[_Pair]]:
    """The pairs of each dashboard."""
    return [pairs[at : at + MOST_PAIRS] for at in range(0, len(pairs), MOST_PAIRS)]


def name(stack: str, region: str) -> str:
    """What a dashboard is called: an account has one list of them for all regions."""
    return f"{stack}-{region}"


def body(pairs: Sequence[Watched], places: Places) -> dict[str, Any]:
    """The document that CloudWatch draws."""
    alarms = [arn for pair in pairs for arn in pair.alarms]
    widgets: list[dict[str, Any]] = [
        {"type": "text", "width": WIDTH, "height": 2, "properties": {"markdown": _head(pairs, places)}}
    ]
    if alarms:
        widgets.append(
            {
                "type": "alarm",
                "width": WIDTH,
                "height": 3 + len(alarms) // 12,
                "properties": {"title": "Alarms", "alarms": alarms},
            }
        )
    widgets += [_graph(panel, places) for panel in seen(pairs, places)]
    return {"start": "-PT3H", "periodOverride": "inherit", "widgets": widgets}


def seen(pairs: Sequence[Watched], places: Places) -> tuple[Panel, ...]:
    """The panels whose metrics this account has."""
    return tuple(panel for panel in panels(pairs) if panel.place == "source" or places.target)


def template(pairs: Sequence[Watched], places: Places, stack: str) -> str:
    """
    The text of the stack that holds the dashboard.

    Args:
        stack: Its name.
    """
    document = json.dumps(body(pairs, places), separators=(",", ":"), ensure_ascii=True)
    # In single quotation marks, in which YAML and CloudFormation take everything as it is.
    quoted = document.replace("'", "''")
    return (
        'AWSTemplateFormatVersion: "2010-09-09"\n'
        "Description: ddbverify, one per direction of a migration - its dashboard.\n"
        "Resources:\n"
        "  Dashboard:\n"
        "    Type: AWS::CloudWatch::Dashboard\n"
        "    Properties:\n"
        f"      DashboardName: {name(stack, places.source)}\n"
        f"      DashboardBody: '{quoted}'\n"
        "Outputs:\n"
        "  Dashboard:\n"
        "    Description: Name of the dashboard.\n"
        "    Value: !Ref Dashboard\n"
    )


def _head(pairs: Sequence[Watched], places: Places) -> str:
    elsewhere = (
        "" if places.target else " The follower is in another account: its units are to be seen there."
    )
    names = ", ".join(f"{pair.source} → {pair.target}" for pair in pairs)
    return (
        f"## {pairs[0].migration}\n{names}. What each alarm means, and what to do: “Operating a migration” "
        f"in the documentation of ddbverify. `replicator status` says how far it is.{elsewhere}"
    )


def _graph(panel: Panel, places: Places) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "title": panel.title,
        "region": places.source if panel.place == "source" else places.target,
        "view": "timeSeries",
        "stacked": False,
        "period": MINUTE,
        "metrics": list(_metrics(panel.lines)),
        "yAxis": {"left": {"min": 0, "label": _AXIS[panel.unit], "showUnits": False}},
    }
    if panel.limits:
        marks = [{"label": label, "value": value} for label, value in panel.limits.items()]
        properties["annotations"] = {"horizontal": marks}
    # No places on the grid: CloudWatch puts widgets beside each other in their order.
    return {"type": "metric", "width": WIDTH // 3, "height": _HEIGHT, "properties": properties}


def _metrics(lines: Sequence[Line]) -> Iterator[list[Any]]:
    """As CloudWatch writes them: a full stop stands for what the line before has in that place."""
    before: list[str] = []
    for line in lines:
        row = [line.namespace, line.metric, *(word for pair in line.dimensions.items() for word in pair)]
        same = len(row) == len(before)
        short = ["." if same and word == before[at] else word for at, word in enumerate(row)]
        yield [*short, {"label": line.label, "stat": line.statistic}]
        before = row
