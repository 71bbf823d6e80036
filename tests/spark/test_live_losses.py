"""Executors killed while live tables are read: one verdict, the whole bill, and no value in any log."""

from __future__ import annotations

import pytest

from tests.ddbverify.spark.lively import REGIONS, Tables
from tests.spark.losing import Losing

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.filterwarnings("ignore")]


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_staged", [False, True], ids=["in step", "staged"])
def test_lost_executors_read_live_tables_again_and_change_nothing(
    tmp_path, aws, unique, standalone, is_staged
):
    items = [
        {"id": {"S": f"telltale-{number}"}, "v": {"S": f"telltale-value-{number}"}} for number in range(60)
    ]
    items[10] |= {"what": {"S": "kill"}}
    items[40] |= {"what": {"S": "break"}}
    differing = [
        one | ({"v": {"S": "telltale-other"}} if number % 6 == 2 else {}) for number, one in enumerate(items)
    ]
    pair = Tables(aws, unique("live"), {"id": "S"}).fill(items, differing[1:])
    variables = aws.variables(REGIONS[0])
    of_executors = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "NO_PROXY")
    settings = {f"spark.executorEnv.{name}": variables[name] for name in of_executors}
    losing = Losing(tmp_path, standalone, settings, variables)

    sides = (pair.name, pair.name, "--source-region", REGIONS[0], "--target-region", REGIONS[1])
    given = (*sides, "--settle", "0s", "--segments", "5")
    here, whole, _ = losing.diff(*given, "--processes", "1")
    staging = ("--spark-staging", f"file://{tmp_path}/staging") if is_staged else ()
    there, summary, said = losing.diff(*given, "--engine", "spark", *staging)
    assert (there, summary["reasons"]) == (here, whole["reasons"])
    assert (summary["verdict"], summary["complete"]) == ("different", True)
    assert (summary["matched"], summary["different"], summary["missing"]) == (49, 10, 1)
    assert {"killed-reading", "broken"} <= {path.name for path in tmp_path.iterdir()}
    assert sum(summary["read_units"].values()) > sum(whole["read_units"].values())
    assert any("by a later attempt" in note for note in summary["notes"])
    losing.need_no_value(said)
