"""Settings of the tables that a migration meets later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.doctor import settings
from replicator.doctor.findings import State
from replicator.doctor.looking import Known, Unknown
from tests.replicator.doctor.test_streams import GLOBAL, SOURCE

DENIED = Unknown("AWS refused to read it: AccessDeniedException", "allow it.")
NONE = Known(None)


@pytest.mark.parametrize(
    "status", ["CREATING", "UPDATING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"]
)
def test_a_table_that_is_not_active_is_a_problem(status):
    (found,) = settings.status(replace(SOURCE, status=status))

    assert found.state is State.PROBLEM
    assert status in found.what
    assert list(settings.status(SOURCE)) == []


def test_the_fence_of_a_global_table_is_in_one_replica_only():
    (found,) = settings.replicas(GLOBAL, "source")
    (alone,) = settings.replicas(SOURCE, "source")

    assert (found.state, alone.state) == (State.WARNING, State.OK)
    assert "us-east-1" in found.what
    own = replace(SOURCE, description={"Replicas": [{"RegionName": "eu-west-1"}]})
    assert next(settings.replicas(own, "source")).state is State.OK


@pytest.mark.parametrize(
    ("role", "attribute", "state"),
    [
        ("source", NONE, State.OK),
        ("target", NONE, State.OK),
        ("source", Known("expires"), State.WARNING),
        ("target", Known("expires"), State.PROBLEM),
        ("source", DENIED, State.NOT_CHECKED),
    ],
)
def test_a_target_that_removes_items_by_itself_is_a_problem(role, attribute, state):
    (found,) = settings.time_to_live(SOURCE, role, attribute)
    assert found.state is state


def policy(effect):
    return {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Principal": "*", "Sid": "Secret"}]}


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (NONE, State.OK),
        (Known(policy("Allow")), State.OK),
        (Known(policy("Deny")), State.WARNING),
        (DENIED, State.NOT_CHECKED),
    ],
)
def test_a_policy_that_denies_holds_against_us_too(held, state):
    (found,) = settings.policy(SOURCE, "source", held)

    assert found.state is state
    assert "Secret" not in found.what + found.hint


def lacking(description=(), *, staged=False, recovery=Known(False), held=NONE, attribute=NONE):  # noqa: B008
    table = replace(SOURCE, description=dict(description))
    return list(
        settings.lacking(table, "orders-v2", staged=staged, recovery=recovery, held=held, attribute=attribute)
    )


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"recovery": Known(True)}, "point-in-time recovery"),
        ({"held": Known(policy("Allow"))}, "resource policy"),
        ({"attribute": Known("expires")}, "time to live"),
        ({"description": {"DeletionProtectionEnabled": True}}, "deletion protection"),
        (
            {
                "description": {"TableClassSummary": {"TableClass": "STANDARD_INFREQUENT_ACCESS"}},
                "staged": True,
            },
            "table class STANDARD_INFREQUENT_ACCESS",
        ),
        ({"description": {"SSEDescription": {"SSEType": "KMS"}}, "staged": True}, "your key of KMS"),
    ],
)
def test_each_setting_that_a_made_target_lacks_is_named_alone(facts, words):
    (found,) = lacking(**facts)

    assert found.state is State.WARNING
    assert f"without {words}" in found.what or f"without its {words}" in found.what or words in found.what
    assert lacking()[0].state is State.OK


def test_a_restored_table_keeps_class_and_key():
    description = {
        "TableClassSummary": {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
        "SSEDescription": {"SSEType": "KMS"},
    }
    assert lacking(description)[0].state is State.OK


@pytest.mark.parametrize("name", ["recovery", "held", "attribute"])
def test_what_was_not_read_is_never_called_nothing_lacking(name):
    (found,) = lacking(**{name: DENIED})
    assert found.state is State.NOT_CHECKED

    several = lacking({"DeletionProtectionEnabled": True}, **{name: DENIED})
    assert [one.state for one in several] == [State.WARNING, State.NOT_CHECKED]
