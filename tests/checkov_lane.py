"""
checkov over every template and every form of `replicator synth`: ``python -m tests.checkov_lane``.

`make lint-security` calls it. checkov has an environment of its own, beside the other engines. A finding that
is none has its reason in the template, in ``Metadata`` of its resource. A reason for what checkov does not
look at is told, too.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from replicator.embedded.environment import engines_folder
from replicator.stack import stacks
from tests.cdk_lane import BUILD as OF_THE_CDK
from tests.cdk_lane import ROOT
from tests.replicator.stack.template_rules import parsed
from tests.replicator.stack.test_dashboard import CUSTOMERS, HERE, ORDERS, dashboard
from tests.replicator.synthesis.test_forms import FORMS, STACKS

VERSION: Final = "3.3.30"
BUILD: Final = ROOT / "build" / "checkov"
FRAMEWORKS: Final = ("cloudformation", "terraform")
SHORTEST_REASON: Final = 20

Report = Mapping[str, Any]


def environment() -> Path:
    """checkov's command, installed where it is not there."""
    folder = engines_folder() / f"checkov-{VERSION}-python-{sys.version_info[0]}.{sys.version_info[1]}"
    command, stamp = folder / "bin" / "checkov", folder / "made"
    if not stamp.exists():
        print(f"installing checkov {VERSION} (some 400 MB, once) into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "install", "-qq", f"checkov=={VERSION}"], check=True)
        stamp.touch()
    return command


def written() -> None:
    """Every form of every template, in a folder each; and what the CDK's lane has synthesised."""
    shutil.rmtree(BUILD, ignore_errors=True)
    made = [
        dataclasses.replace(STACKS[0], name=f"replicator-shop-{part}", text=stacks.template_body(part))
        for part in get_args(stacks.Template)
    ]
    text = dashboard.template([ORDERS, CUSTOMERS], HERE, "replicator-shop-dashboard")
    made.append(dataclasses.replace(STACKS[2], text=text))
    for form, module in FORMS.items():
        for name, text in module.files(made).items():
            (BUILD / form).mkdir(parents=True, exist_ok=True)
            (BUILD / form / name).write_text(text, encoding="utf-8")
    (BUILD / "module").mkdir()
    shutil.copy(ROOT / "constructs" / "terraform" / "main.tf", BUILD / "module")
    for name in EXAMPLES if _is_of_these_templates() else ():
        for file in sorted((OF_THE_CDK / name).glob("*.template.json")):
            (BUILD / "cdk" / name).mkdir(exist_ok=True)
            shutil.copy(file, BUILD / "cdk" / name)


EXAMPLES: Final = ("typescript", "python")


def _is_of_these_templates() -> bool:
    """Whether the CDK's lane has run since the templates were changed."""
    built = OF_THE_CDK / "node_modules" / "ddbverify-cdk" / "templates"
    return all(
        (built / f"{part}.yaml").is_file()
        and (built / f"{part}.yaml").read_text(encoding="utf-8") == stacks.template_body(part)
        for part in get_args(stacks.Template)
    )


def checked(command: Path, folder: Path) -> list[Report]:
    """What checkov says, by framework."""
    words = [str(command), "--directory", str(folder), "--framework", *FRAMEWORKS]
    done = subprocess.run(
        [*words, "--skip-download", "--output", "json"], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"checkov did not answer:\n{done.stdout[-500:]}{done.stderr[-1500:]}") from None
    return found if isinstance(found, list) else [found]


def findings(reports: Sequence[Report]) -> Iterator[str]:
    """What checkov has found, or could not read, and reasons that are no longer any or say nothing."""
    for report in reports:
        results = report.get("results", {})
        for one in results.get("parsing_errors", ()):
            yield f"{one}: checkov could not read it"
        for one in results.get("failed_checks", ()):
            yield f"{one['file_path']} {one['resource']}: {one['check_id']}, {one['check_name']}"
        for one in results.get("skipped_checks", ()):
            reason = one["check_result"].get("suppress_comment") or ""
            if len(reason) < SHORTEST_REASON:
                yield f"{one['file_path']} {one['resource']}: {one['check_id']} is skipped without a reason"


def unused(reports: Sequence[Report], folder: Path) -> Iterator[str]:
    """Reasons in templates for what checkov does not look at, or not any more."""
    skipped = {
        (one["file_path"].lstrip("/"), one["resource"].rpartition(".")[2], one["check_id"])
        for report in reports
        for one in report.get("results", {}).get("skipped_checks", ())
    }
    for file in sorted(folder.rglob("*.yaml")):
        for name, resource in parsed(file.read_text(encoding="utf-8"))["Resources"].items():
            for one in resource.get("Metadata", {}).get("checkov", {}).get("skip", ()):
                place = str(file.relative_to(folder))
                if (place, name, one["id"]) not in skipped:
                    yield f"{place} {name}: {one['id']} has a reason, and checkov does not look at it"


def unread(reports: Sequence[Report], folder: Path) -> Iterator[str]:
    """Files of which checkov has said nothing: where nothing was looked at, nothing is right."""
    read = {
        one["file_path"].lstrip("/")
        for report in reports
        for kind in ("passed_checks", "failed_checks", "skipped_checks")
        for one in report.get("results", {}).get(kind, ())
    }
    for file in sorted(folder.rglob("*")):
        place = str(file.relative_to(folder))
        if place in read or not place.endswith((".yaml", ".tf", ".template.json")):
            continue
        if file.suffix == ".yaml":
            loaded = parsed(file.read_text(encoding="utf-8"))
            if {one["Type"] for one in loaded["Resources"].values()} <= QUIET:
                continue
        yield f"{place}: checkov has looked at nothing in it"


QUIET: Final = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"}
"""Types of which checkov knows no check."""


def main() -> int:
    """
    Write every form, and let checkov look at it.

    Returns:
        0, or 1 where something was found; it is printed.
    """
    command = environment()
    written()
    reports = checked(command, BUILD)
    found = [*findings(reports), *unused(reports, BUILD), *unread(reports, BUILD)]
    print("\n".join(found))
    checks = sum(len(one.get("results", {}).get("passed_checks", ())) for one in reports)
    reasons = sum(len(one.get("results", {}).get("skipped_checks", ())) for one in reports)
    forms = ", ".join(sorted(one.name for one in BUILD.iterdir()))
    print(f"checkov {VERSION} on {forms}: {checks} passed, {reasons} with a reason, {len(found)} to see to")
    if not all((BUILD / "cdk" / name).exists() for name in EXAMPLES):
        print("not looked at: what the CDK makes of these templates; run `make test-cdk` before")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
