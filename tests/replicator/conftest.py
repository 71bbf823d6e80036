"""Hypothesis without its clock: no test asserts a duration, and a busy machine is no failure."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile(
    "replicator", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("replicator")
