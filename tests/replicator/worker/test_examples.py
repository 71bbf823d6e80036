"""The unit for systemd and the file for a container: what the docs say that they do."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import click

from replicator.commands.worker import command
from replicator.context.context import Pace

FOLDER = Path(__file__).parents[3] / "examples" / "worker"
LONGEST_BATCH = Pace.of(emulator=False).function_timeout


def unit():
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str
    read.read(FOLDER / "replicator-worker@.service")
    return read["Service"]


def test_the_unit_starts_a_worker_again_and_lets_it_finish_its_batch():
    service = unit()

    assert service["Restart"] == "always"
    assert int(service["TimeoutStopSec"]) > LONGEST_BATCH
    assert service["KillSignal"] == "SIGTERM"
    *_, program, name = service["ExecStart"].split()
    assert (Path(program).name, name) == ("replicator", command.name)
    assert isinstance(command, click.Command)


def test_the_container_is_nobody_and_hands_signals_to_the_worker():
    lines = [line for line in (FOLDER / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    last = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines if line}

    assert int(last["USER"]) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["replicator", command.name], "a shell would keep the signal"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert int(re.search(r"stop-timeout=(\d+)", (FOLDER / "Containerfile").read_text())[1]) > LONGEST_BATCH
