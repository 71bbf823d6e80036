"""What is made is counted from the templates, and told beside them."""

from __future__ import annotations

from replicator.estimate import resources
from replicator.stack import stacks
from tests.replicator.estimate.test_costs import moved


def test_the_stacks_are_those_of_the_templates():
    found = resources.stacks_of("shop", [("a-1", False), ("b-2", True)], dashboard=True)

    assert [one.name for one in found] == [
        "replicator-shop-base",
        "replicator-shop-a-1-capture",
        "replicator-shop-b-2-capture",
        "replicator-shop-dashboard",
        "replicator-shop-a-1-target",
        "replicator-shop-a-1-apply",
        "replicator-shop-b-2-target",
        "replicator-shop-b-2-apply",
    ]
    assert {one.where for one in found if one.name.endswith("-target")} == {"target"}
    assert found[1].holds["SQS::Queue"] == 2
    assert found[4].holds == {"DynamoDB::Table": 1}
    assert found[6].holds == {"DynamoDB::Table": 1, "IAM::Role": 1}  # the writer's, across accounts
    assert len(resources.stacks_of("shop", [("a-1", False)], dashboard=False)) == 4


def test_a_way_back_has_stacks_of_its_own_on_the_other_side():
    over = resources.stacks_of("shop-back-1", [("a-1", False)], dashboard=False)
    back = resources.of_way_back(over)

    assert {one.made_by for one in back} == {"cutover"}
    assert [(one.name, one.where) for one in back] == [
        ("replicator-shop-back-1-base", "target"),
        ("replicator-shop-back-1-a-1-capture", "target"),
        ("replicator-shop-back-1-a-1-target", "source"),
        ("replicator-shop-back-1-a-1-apply", "target"),
    ]


def test_every_resource_of_every_template_is_counted():
    for template in ("base", "capture", "queue", "target", "apply", "audit"):
        section = stacks.template_body(template).partition("\nResources:\n")[2].partition("\nOutputs:")[0]
        names = [line for line in section.splitlines() if line[:3] >= "  A" and line.startswith("  ")]
        top = [line for line in names if line[2].isalpha() and line.endswith(":")]
        assert sum(resources._holds(template).values()) == len(top), template


def test_alarms_are_those_of_a_pairs_stacks():
    text = stacks.template_body("capture") + stacks.template_body("apply")
    assert resources.alarms_of_a_pair() == text.count("Type: AWS::CloudWatch::Alarm") > 0
    assert resources.alarms_of_a_pair(audited=True) == resources.alarms_of_a_pair() + 3


def test_an_auditor_is_a_stack_of_each_pair_and_across_accounts_one_more_role():
    made = resources.stacks_of("shop", [("a", True), ("b", False)], dashboard=False, audited=True)
    assert [one.name.rpartition("-")[2] for one in made].count("audit") == 2
    roles = [one.holds.get("IAM::Role") for one in made if one.name.endswith("-target")]
    assert roles == [2, None]


def test_what_verifies_by_a_schedule_is_one_stack_of_the_migration():
    made = resources.verifying("shop")
    assert (made.name, made.made_by, made.where) == ("replicator-shop-verify", "restore", "source")
    assert made.holds["CodeBuild::Project"] == 1
    assert resources.alarms_of_verifying() == made.holds["CloudWatch::Alarm"] == 2


def test_where_workers_carry_it_there_is_no_function_and_nothing_of_one():
    made = resources.stacks_of("shop", [("a", True), ("b", False)], dashboard=True, worker=True)

    assert [one.name.rpartition("-")[2] for one in made] == ["base", "capture", "capture", "target", "target"]
    kinds = {kind for one in made for kind in one.holds}
    assert not [kind for kind in kinds if kind.startswith(("Lambda::", "IAM::", "Logs::"))]
    assert resources.alarms_of_a_pair(worker=True) == 3


def told(*, stream_is_on=True, closes_target=False, **changed):
    return " ".join(
        resources.beside(moved(**changed), stream_is_on=stream_is_on, closes_target=closes_target)
    )


def test_what_is_made_beside_the_stacks_is_told():
    assert "backup" in told()
    assert "backup" not in told(backfill="pitr")
    assert "staging" in told(transforms=True)
    assert "staging" not in told(transforms=True, backfill="scan")
    assert "the target table" not in told(target_exists=True)
    assert "turned on" in told(stream_is_on=False)
    assert "policy" in told(closes_target=True)
