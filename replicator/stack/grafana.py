"""
The panels as a dashboard of Grafana, with CloudWatch as its data source. Pure.

Source:
    https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from replicator.stack.dashboard import Places, seen
from replicator.stack.panels import MINUTE, Line, Panel, Watched

_SCHEMA_VERSION: Final = 39  # Grafana 10.4 and later; an older document is brought up to date when it is read
_INPUT: Final = "DS_CLOUDWATCH"
_SOURCE: Final = {"type": "cloudwatch", "uid": f"${{{_INPUT}}}"}
_UNITS: Final = {"seconds": "s", "milliseconds": "ms", "count": "short", "units": "short"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


def document(pairs: Sequence[Watched], places: Places) -> dict[str, Any]:
    """
    A dashboard to import: whoever does is asked for the data source.

    All that was made is named in it, since functions and queues have the names that CloudFormation gave.
    """
    migration = pairs[0].migration
    return {
        "__inputs": [
            {
                "name": _INPUT,
                "label": "CloudWatch",
                "description": "Reads the metrics of the account that the migration is in.",
                "type": "datasource",
                "pluginId": "cloudwatch",
                "pluginName": "CloudWatch",
            }
        ],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.4.0"},
            {"type": "datasource", "id": "cloudwatch", "name": "CloudWatch", "version": "1.0.0"},
            {"type": "panel", "id": "timeseries", "name": "Time series", "version": ""},
        ],
        "title": f"Migration {migration}",
        "uid": f"replicator-{migration}"[:40],
        "description": "Made by `replicator dashboard`. Alarms: “Operating a migration” in its docs.",
        "tags": ["dynamodb", "replicator"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_alarms(migration, places)]},
        "templating": {"list": []},
        "panels": [_panel(panel, places, at) for at, panel in enumerate(seen(pairs, places))],
    }


def _alarms(migration: str, places: Places) -> dict[str, Any]:
    """Every change of an alarm of ours as a mark in every panel."""
    return {
        "name": "Alarms",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "target": {
            "queryMode": "Annotations",
            "prefixMatching": True,
            "alarmNamePrefix": f"replicator-{migration}-",
            "actionPrefix": "",
            "namespace": "",
            "metricName": "",
            "dimensions": {},
            "region": places.source,
            "statistic": "Maximum",
            "period": str(MINUTE),
            "refId": "Alarms",
        },
    }


def _panel(panel: Panel, places: Places, at: int) -> dict[str, Any]:
    colours = ("orange", "red")
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [
        {"color": colour, "value": value}
        for colour, value in zip(colours, panel.limits.values(), strict=False)
    ]
    style = "line" if panel.limits else "off"
    region = places.source if panel.place == "source" else places.target
    limits = "".join(f" {label}: {value:,.0f}." for label, value in panel.limits.items())
    return {
        "id": at + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.means + limits,
        "datasource": _SOURCE,
        "gridPos": {
            "h": _HEIGHT,
            "w": _WIDTH,
            "x": at % _COLUMNS * _WIDTH,
            "y": at // _COLUMNS * _HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": _UNITS[panel.unit],
                "min": 0,
                "custom": {"thresholdsStyle": {"mode": style}, "spanNulls": False},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            _target(line, region, ref) for ref, line in zip(_references(), panel.lines, strict=False)
        ],
    }


def _references() -> Any:
    return (f"Q{at}" for at in count(1))


def _target(line: Line, region: str, reference: str) -> dict[str, Any]:
    return {
        "refId": reference,
        "id": "",
        "datasource": _SOURCE,
        "queryMode": "Metrics",
        "metricQueryType": 0,
        "metricEditorMode": 0,
        "region": region,
        "namespace": line.namespace,
        "metricName": line.metric,
        "dimensions": {name: [value] for name, value in line.dimensions.items()},
        "matchExact": True,
        "statistic": line.statistic,
        "period": str(MINUTE),
        "label": line.label,
        "expression": "",
    }
