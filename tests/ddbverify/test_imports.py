"""Who may import whom (docs/design.md). The layout may change; these arrows may not."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ddbverify
from ddbverify.cli import COMMANDS
from tests.ddbverify.projects import REPOSITORY

# What the replicator may use of the verifier. `evidence.cutover` is what it leaves of a cutover: signed with
# the verifier's key, in the verifier's envelope, and about no item. Of `tables.table` it is DynamoDB's clock.
# `commands.gathered` is how a command of either is found and ends; it knows of no table.
FOR_THE_REPLICATOR = {
    "config",
    "errors",
    "names",
    "words",
    "setting_names",
    "interrupts",  # ends a command as Ctrl-C does, of both packages
    "items.inverse",
    "items.limits",  # of what DynamoDB would refuse; the verifier decides nothing by it
    "items.transform",
    "items.values",
    "code.digest",
    "code.imports",
    "code.places",
    "code.purity",
    "code.reach",
    "code.shadows",
    "tables.answers",
    "tables.aws",
    "tables.indexes",
    "tables.prices",
    "tables.references",
    "tables.table",
    "tables.translation",  # words for errors; no settings, so that it can travel to Lambda
    "tables.unknown",  # what neither package knows of a table is told where one is described
    # An export's bytes are proven in one place, which decodes no item; what makes items of them is its own.
    "exports.export",
    "exports.manifest",
    "exports.parts",
    "gate.gate",
    "gate.superseded",
    "pipeline.newest_run",
    "evidence.cutover",
    "evidence.digests",  # which files a run is bound to: a build that verifies gets these, and no others
    "evidence.events",
    "evidence.following",
    "evidence.folders",  # where a run that looks at changes keeps their keys: it has read the streams by then
    "evidence.links",
    "evidence.envelope",  # of a result of a demonstration, which is signed as evidence is
    "evidence.signing",
    "commands.gathered",
    "live.opening",
    "live.terminal",
    "live.watching",
    "metrics.measures",
    "metrics.sending",
    "reports.plan",  # what a verification takes is the verifier's to say
    # A repair from findings: what they are, the digests to hold items against, and the verifier at its end.
    "diff.recheck",
    "evidence.plans",
    "evidence.record",
    "evidence.repaired",
    "evidence.repairs",
    "items.form",
    "items.states",
}
# What travels to Lambda with the handlers. `tables.answers` holds no decoding, only what is no answer at all;
# `tables.translation`, and what it takes, are words for errors, and know botocore for that.
FOR_THE_HANDLERS = {
    "errors",
    "names",
    "words",
    "items.values",
    "items.inverse",
    "items.transform",
    "tables.answers",
    "tables.credentials",
    "tables.references",
    "tables.translation",
}
HANDLERS = ("forwarder", "consumer", "auditor")
IN_LAMBDA = {"boto3", "botocore", "aws_lambda_powertools"}
MAY_KNOW_BOTO3 = {
    "tables.aws",
    "tables.credentials",
    "tables.hosts",
    "tables.table",
    "tables.translation",
    "tables.wire",
}


def imports_of(file: Path, package: str) -> set[str]:
    """
    Every module that a file names in an import, at any depth, but for type checking.

    Of ``from package import name``, *name* counts as a module if it is one.
    """
    tree = ast.parse(file.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            is_package = (REPOSITORY / str(node.module).replace(".", "/")).is_dir()
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                path = REPOSITORY / inner.replace(".", "/")
                is_module = is_package and (path.with_suffix(".py").exists() or path.is_dir())
                found.add(inner if is_module else str(node.module))
    return found


def modules(package: str) -> dict[str, Path]:
    return {
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts): file
        for file in sorted((REPOSITORY / package).rglob("*.py"))
    }


@pytest.mark.parametrize("package", ["ddbverify", "replicator", "benchmarks"])
def test_types_of_aws_are_imported_for_type_checking_only(package):
    """They come with the lint extra, which users do not install."""
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        stubs = {root for root in roots(imports_of(file, package)) if root.startswith("mypy_boto3")}
        assert not stubs, file


def test_types_of_aws_are_no_dependency_of_users():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = {
        extra
        for extra, needs in project["optional-dependencies"].items()
        if any("stubs" in one for one in needs)
    }

    assert extras == {"lint"}
    assert not [one for one in project["dependencies"] if "stubs" in one or one.startswith("types-")]


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", modules("ddbverify"))
def test_the_verifier_never_borrows_from_the_replicator_or_the_tests(module):
    used = roots(imports_of(modules("ddbverify")[module], "ddbverify"))

    assert not used & {"replicator", "tests", "checks"}
    if not module.startswith(("ddbverify.pytest_plugin", "ddbverify.session.pytest")):
        assert not used & {"pytest", "_pytest"}
    if module.partition(".")[2] not in MAY_KNOW_BOTO3:
        assert not used & {"boto3", "botocore"}


@pytest.mark.parametrize("module", modules("replicator"))
def test_the_replicator_uses_only_what_was_made_for_it(module):
    used = imports_of(modules("replicator")[module], "replicator")

    assert {name for name in used if name.startswith("ddbverify")} <= {
        f"ddbverify.{name}" for name in FOR_THE_REPLICATOR
    }
    assert not roots(used) & {"pytest", "_pytest", "tests", "checks"}


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_imports_is_in_its_bundle(handler):
    replicator = modules("replicator")
    if f"replicator.{handler}" not in replicator:
        pytest.fail(f"there is no replicator/{handler}.py")
    todo, seen = [f"replicator.{handler}"], set()
    while todo:
        module = todo.pop()
        seen.add(module)
        for name in imports_of(replicator[module], "replicator"):
            if name.startswith("replicator"):
                if name not in seen and name in replicator:
                    todo.append(name)
            elif name.startswith("ddbverify"):
                assert name.partition(".")[2] in FOR_THE_HANDLERS, f"{module} imports {name}"
            else:
                root = name.partition(".")[0]
                assert root in IN_LAMBDA or root in sys.stdlib_module_names, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(FOR_THE_HANDLERS))
def test_modules_that_travel_use_the_standard_library_and_each_other(module):
    used = imports_of(modules("ddbverify")[f"ddbverify.{module}"], "ddbverify")

    for name in used:
        if name.startswith("ddbverify"):
            assert name.partition(".")[2] in FOR_THE_HANDLERS
        else:
            root = name.partition(".")[0]
            knows = module in MAY_KNOW_BOTO3 and root == "botocore"
            assert knows or root in sys.stdlib_module_names


@pytest.mark.parametrize("file", sorted((REPOSITORY / "checks").glob("*.py")), ids=lambda file: file.name)
def test_the_default_suite_uses_public_names_only(file):
    tree = ast.parse(file.read_text())

    for node in ast.walk(tree):
        assert not isinstance(node, ast.Import)
        if isinstance(node, ast.ImportFrom):
            assert node.module in {"__future__", "ddbverify"}
            if node.module == "ddbverify":
                assert {alias.name for alias in node.names} <= set(ddbverify.__all__)


@pytest.mark.parametrize(
    "module", ["ddbverify", "ddbverify.errors", "ddbverify.names", "ddbverify.items.transform"]
)
def test_light_modules_stay_light(module):
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert not roots(set(json.loads(done.stdout))) & {"boto3", "botocore", "pytest", "msgspec", "click"}


@pytest.mark.parametrize(
    ("module", "later"),
    [
        *((f"ddbverify.commands.{name}", {"boto3", "s3transfer", "deepdiff", "pytest"}) for name in COMMANDS),
        ("ddbverify.cli", {"boto3", "botocore", "msgspec", "rich", "tabulate", "pytest"}),
        ("replicator.cli", {"aws_lambda_powertools", "packaging", "deepdiff", "pytest"}),
    ],
)
def test_a_command_that_is_only_named_waits_for_nothing_that_few_need(module, later):
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert not roots(set(json.loads(done.stdout))) & later


def test_every_public_name_is_there_and_no_other():
    for name in ddbverify.__all__:
        assert getattr(ddbverify, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ddbverify.no_such_name


def test_the_entry_point_of_the_plugin_is_light():
    """It is loaded by every pytest of an environment, also in projects that have no migration."""
    script = (
        "import json, sys, pytest; before = set(sys.modules); import ddbverify.pytest_plugin; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, check=True, text=True
    )

    own = {
        *("ddbverify", "ddbverify.names", "ddbverify.pytest_plugin"),
        *("ddbverify.session", "ddbverify.session.pytest", "ddbverify.session.pytest.options"),
    }
    assert {name for name in json.loads(done.stdout) if name.partition(".")[0] not in _STANDARD} == own


_STANDARD = sys.stdlib_module_names
