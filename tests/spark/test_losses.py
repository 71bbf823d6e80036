"""Executors that are killed, a task that is run twice at once: one verdict, and no value in any log."""

from __future__ import annotations

import pytest

from tests.ddbverify.exports.exporting import full
from tests.spark.losing import Losing

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rekeys", [(), ("--rekeys",)], ids=["keys stay", "re-keyed"])
def test_lost_executors_and_tasks_that_run_twice_change_nothing(tmp_path, standalone, rekeys):
    whats = ["", "kill", "slow", "break", "kill-judging"]
    pieces = [
        [
            {"id": {"S": f"telltale-{part}-{number}"}, "v": {"S": f"telltale-value-{number}"}}
            | ({"what": {"S": what}} if number == 3 and what else {})
            for number in range(6)
        ]
        for part, what in enumerate(whats)
    ]
    items = [one for some in pieces for one in some]
    differing = [
        one | ({"v": {"S": "telltale-other"}} if number % 6 in (2, 3) else {})
        for number, one in enumerate(items)
    ]
    source, target = full(tmp_path / "a", *pieces), full(tmp_path / "b", differing[1:], [])
    losing = Losing(
        tmp_path,
        standalone,
        {
            "spark.speculation": "true",
            "spark.speculation.interval": "200ms",
            "spark.speculation.quantile": "0.3",
            "spark.speculation.multiplier": "2",
            "spark.speculation.minTaskRuntime": "1s",
        },
    )

    sides = (source.address, target.address, "--key", "id:S", *rekeys)
    here, whole, _ = losing.diff(*sides)
    there, summary, said = losing.diff(*sides, "--engine", "spark")
    assert (there, summary["reasons"]) == (here, whole["reasons"])
    assert summary["verdict"] == "different"
    assert summary["complete"]
    assert (summary["matched"], summary["different"], summary["missing"]) == (19, 10, 1)
    flags = {"killed-reading", "killed-judging", "broken", "slow"}
    assert flags <= {path.name for path in tmp_path.iterdir()}
    assert any("by a later attempt" in note for note in summary["notes"])
    losing.need_no_value(said)
