"""
``replicator adopt``: the documents by which a stack of the team's takes the target over, as it is.

It writes nothing to AWS. The table is the application's by then, so it must not be made again, or changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.names import TARGET, table_name
from ddbverify.tables.table import describe
from replicator.adoption import cdk, cloudformation, terraform
from replicator.adoption.collecting import Described, collect
from replicator.adoption.owner import owner_of
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context import live
from replicator.context.context import Context

_FORMATS: Final = ("cloudformation", "cdk", "terraform")

_NEXT: Final = {
    "cloudformation": (
        "aws cloudformation create-change-set --stack-name STACK --change-set-name adopt --change-set-type "
        "IMPORT --template-body file://template.json --resources-to-import file://resources-to-import.json",
        "look at it with describe-change-set, then execute-change-set, then detect-stack-drift",
    ),
    "cdk": ("cdk import STACK", "then cdk diff: there are no differences"),
    "terraform": ("terraform plan: the tables are imported, and nothing is to change", "terraform apply"),
}


def adopt(context: Context, *, rendered: str, out: Path | None, named: Mapping[str, str]) -> dict[str, Any]:
    """
    Describe every target, and make the documents.

    Args:
        rendered: `cloudformation`, `cdk` or `terraform`.
        out: Folder for the documents; printed by default.
        named: Name of a table -> its logical id; made of the name by default.

    Raises:
        Refused: The application does not use the targets, or a table cannot be adopted.
        EngineError: What AWS does not say would be missing from the documents.
    """
    context.need_begun()
    found = live.read(context)
    if found.table != TARGET:
        raise Refused(
            "The application does not use the target, or may not: there is nothing to adopt yet.",
            "run `replicator cutover` first; see `replicator status`.",
        )
    pairs = context.root.config.tables
    targets = {table_name(pair.target): pair.target for pair in pairs}
    if unknown := sorted(named.keys() - set(targets)):
        raise ConfigurationError(
            f"--logical-id: {', '.join(unknown)} is no target of this migration.",
            f"name one of {', '.join(targets)}.",
        )
    resources = _resources(context, targets, named)
    if rendered == "terraform":
        for what in terraform.left_out(resources):
            context.console.warn(f"not in the documents: {what}")
    if found.cycle % 2:
        context.console.warn(
            "a way back is open, and the target's stream is its: it is in the documents. Behind `replicator "
            "settle` and `down` see whether it is wanted"
        )
    _tell_owners(context, [table_name(pair.source) for pair in pairs])
    documents = _documents(resources, rendered)
    if out is not None:
        _write(out, documents)
    elif not context.console.as_json:
        for text in documents.values():
            click.echo(text, nl=False)
    for line in _NEXT[rendered]:
        context.console.line(f"  · next: {line}")
    return {"format": rendered, "documents": documents}


def _resources(
    context: Context, targets: Mapping[str, str], named: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Logical id -> properties of each target; what is not among them is told."""
    resources: dict[str, dict[str, Any]] = {}
    for table, reference in targets.items():
        described = collect(context.root.target, describe(context.root.config.target, reference))
        _need_adoptable(table, described)
        name = named.get(table, cloudformation.logical_id(table))
        if name in resources:
            raise ConfigurationError(
                f"Two targets would be called {name}.", f"name one with --logical-id {table}=NAME."
            )
        resources[name] = cloudformation.properties(described)
        for what in cloudformation.left_out(described):
            context.console.warn(f"{table}: not in the documents: {what}")
    return resources


def _need_adoptable(table: str, described: Described) -> None:
    if described.is_fenced:
        raise Refused(
            f"{table} still has a fence of the migration in its policy.",
            "run `replicator cutover` again: it lifts what it has left; or see `replicator status`.",
        )
    if described.table.get("Replicas"):
        raise Refused(
            f"{table} is a global table, AWS::DynamoDB::GlobalTable, which this does not write.",
            "write that resource by hand; `ddbverify diff` and the checks know the table's settings.",
        )


def _tell_owners(context: Context, sources: Sequence[str]) -> None:
    """Whose the sources are: a stack that drops one must not delete it while anybody may want it."""
    client = context.root.source_client("cloudformation")
    for table in sources:
        try:
            owner = owner_of(client, table)
        except EngineError as error:
            context.console.warn(f"whether a stack owns {table} is not known: {error.message}")
            continue
        if owner is not None:
            context.console.warn(owner.said(table))


def _documents(resources: Mapping[str, Mapping[str, Any]], rendered: str) -> dict[str, str]:
    if rendered == "cdk":
        return {"tables.ts": cdk.code(resources)}
    if rendered == "terraform":
        return {"tables.tf": terraform.code(resources)}
    return {
        "template.json": _json(cloudformation.template(resources)),
        "resources-to-import.json": _json(cloudformation.to_import(resources)),
    }


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(folder: Path, documents: Mapping[str, str]) -> None:
    """Never over something else: a file may have been changed by hand since."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            path = folder / name
            if path.exists() and path.read_text(encoding="utf-8") != text:
                raise ConfigurationError(
                    f"{path} is there already, and is another document.", "name another folder with --out."
                )
        for name, text in documents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The documents cannot be written to {folder}: {error.strerror}.",
            "name another folder with --out.",
        ) from error


def _pairs_of(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        table, _, name = text.partition("=")
        if not table or not (name.isascii() and name.isalnum() and name[:1].isalpha()):
            raise click.BadParameter(f"{text!r}: write TABLE=ID, the id of letters and digits.")
        found[table] = name
    return found


@click.command(name="adopt")
@config_option
@json_option
@click.option(
    "--format",
    "rendered",
    type=click.Choice(_FORMATS),
    default="cloudformation",
    show_default=True,
    help="For which tool the documents are.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the documents.")
@click.option(
    "--logical-id",
    "named",
    multiple=True,
    metavar="TABLE=ID",
    callback=_pairs_of,
    help="What a target is called in the stack; made of its name by default. Repeatable.",
)
def command(path: Path, as_json: bool, rendered: str, out: Path | None, named: Mapping[str, str]) -> None:
    """
    Print what a stack of yours takes the target over with, as it is.

    After the cutover. Nothing is changed: the documents are for your own tool, which imports the table.
    """
    execute(path, as_json=as_json, run=partial(adopt, rendered=rendered, out=out, named=named))
