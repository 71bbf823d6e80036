"""What the demonstration says of the time in which nobody could write."""

from replicator.demo.refusal import parts


def test_each_step_behind_the_fence_has_its_seconds_and_what_took_none_is_left_out():
    steps = {
        "gate": "2026-11-30T12:00:00.000Z",
        "fence": "2026-11-30T12:00:20.000Z",
        "quiet": "2026-11-30T12:00:21.250Z",
        "drain": "2026-11-30T12:00:24.250Z",
        "consumer": "2026-11-30T12:00:24.260Z",
        "verification": "2026-11-30T12:00:27.300Z",
        "flip": "2026-11-30T12:00:27.400Z",
    }

    assert parts(steps) == "quiet 1.2, drain 3.0, verification 3.0, flip 0.1"
