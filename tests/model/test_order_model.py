"""DESIGN 4 and 7 held against every order of events that Hypothesis comes up with."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.order_model import OrderModel
from tests.model.world import install

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "100000"))


@pytest.fixture(autouse=True)
def world(monkeypatch):
    install(monkeypatch)


def search(machine, examples, steps=30):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_history_breaks_a_promise():
    search(OrderModel, 300)
