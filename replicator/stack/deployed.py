"""
Whether a stack that others have deployed is what is wanted: each fault one sentence, with what to do. Pure.

What cannot be seen is never taken for right: a parameter that the stack does not tell is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

_DONE: Final = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
_VERSION: Final = re.compile(r'\n  TemplateVersion:\n(?:    .*\n)*?    Value: "(\d+)"')
_PARAMETERS: Final = re.compile(r"\nParameters:\n(.*?)\n\n?(?=[A-Z])", re.DOTALL)
_PARAMETER: Final = re.compile(r"^  (\w+):\n((?:    .*\n?)*)", re.MULTILINE)
_DEFAULT: Final = re.compile(r"^    Default: (.*?)(?: #.*)?$", re.MULTILINE)

AGAIN: Final = "write it anew with `replicator synth`, deploy that, then run the command again."


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Something that is not as wanted.

    Args:
        message: What, in one sentence.
        hint: What to do.
    """

    message: str
    hint: str = AGAIN


def version(text: str) -> str:
    """The version of a template of ours, from its text."""
    found = _VERSION.search(text)
    if found is None:
        raise AssertionError("a template without a version")
    return found[1]


def defaults(text: str) -> dict[str, str]:
    """The parameters of a template of ours that have a default, from its text."""
    block = _PARAMETERS.search(text)
    if block is None:
        raise AssertionError("a template without parameters")
    given = {name: _DEFAULT.search(lines) for name, lines in _PARAMETER.findall(block[1] + "\n")}
    return {name: found[1].strip('"') for name, found in given.items() if found is not None}


def faults_of_stack(
    name: str, found: StackTypeDef | None, parameters: Mapping[str, str], text: str
) -> Iterator[Fault]:
    """
    What of a stack is not as wanted.

    Args:
        name: Its own.
        found: As CloudFormation describes it; ``None``: there is none.
        parameters: What it has to be deployed with, beside the template's defaults.
        text: The template.
    """
    if found is None:
        yield Fault(
            f"The stack {name} is not deployed.",
            "write it with `replicator synth`, deploy that, then run the command again.",
        )
        return
    status = found["StackStatus"]
    if status not in _DONE:
        yield Fault(
            f"The stack {name} is in {status}.",
            "wait, or see to it with the tool that deploys it; then run the command again.",
        )
        return
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    yield from _of_version(name, outputs.get("TemplateVersion"), version(text))
    given = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", ())}
    yield from _of_parameters(name, given, {**defaults(text), **parameters})


def _of_version(name: str, found: str | None, ours: str) -> Iterator[Fault]:
    if found == ours:
        return
    if found is None or not found.isdecimal():
        yield Fault(f"The stack {name} does not say which version of its template it was deployed from.")
    elif int(found) < int(ours):
        yield Fault(
            f"The stack {name} was deployed from version {found} of its template; this build has {ours}."
        )
    else:
        yield Fault(
            f"The stack {name} was deployed from version {found} of its template; this build knows {ours}.",
            "run the build that wrote it, or a later one.",
        )


def _of_parameters(name: str, given: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[Fault]:
    hidden = sorted(wanted.keys() - given.keys())
    if hidden:
        yield Fault(
            f"The stack {name} does not say what it was deployed with: {', '.join(hidden)}.",
            "keep the template's parameters, with values or defaults, as `replicator synth` writes them.",
        )
    other = sorted(key for key in wanted.keys() & given.keys() if given[key] != wanted[key])
    if "BundleKey" in other:
        yield Fault(f"The stack {name} runs other code than this build and these transforms are.")
        other.remove("BundleKey")
    if other:
        told = [f"{key} = {_shown(given[key])} instead of {_shown(wanted[key])}" for key in other]
        yield Fault(f"The stack {name} was deployed with {', '.join(told)}.")


def _shown(value: str) -> str:
    """A value for a message: no ARN, since that has an account in it."""
    return "another ARN" if value.startswith("arn:") else repr(value)


def faults_of_function(
    name: str, found: Mapping[str, Any], *, role: str, variables: Mapping[str, str], sha256_base64: str
) -> Iterator[Fault]:
    """
    What of a stack's function is not as its stack says, so that somebody has changed it since.

    Args:
        name: Of the stack.
        found: The function's configuration.
        role: ARN of the role that the stack made for it.
        variables: Of its environment, as far as they say what it works on.
        sha256_base64: Of its code.
    """
    function = found["FunctionName"]
    by_hand = "undo what was changed by hand, or deploy the stack again; then run the command again."
    if found["CodeSha256"] != sha256_base64:
        yield Fault(
            f"The function {function} runs other code than its stack {name} names.",
            "deploy the stack again, or find out who has put other code there; then run the command again.",
        )
    if found["Role"] != role:
        yield Fault(f"The function {function} runs with another role than its stack {name} made.", by_hand)
    has = (found.get("Environment") or {}).get("Variables") or {}
    changed = sorted(key for key, value in variables.items() if has.get(key) != value)
    if changed:
        yield Fault(
            f"The function {function} works on something else than {name} says: {', '.join(changed)}.",
            by_hand,
        )


def faults_of_account(name: str, what: str, arn: str, account: str) -> Iterator[Fault]:
    """A queue or table of another account would be somebody else's."""
    if arn.split(":")[4] != account:
        yield Fault(
            f"The {what} of the stack {name} is another account's.",
            "name a profile of the account that the stack was deployed in; then run the command again.",
        )


def drifted(drifts: list[Mapping[str, Any]]) -> list[str]:
    """
    Resources that are no longer as their stack made them.

    The mapping of the consumer is switched on and off by us, which is no drift.
    """
    return sorted(
        f"{one['LogicalResourceId']} ({one['StackResourceDriftStatus']})"
        for one in drifts
        if one["StackResourceDriftStatus"] in ("MODIFIED", "DELETED") and not _switched(one)
    )


def _switched(drift: Mapping[str, Any]) -> bool:
    changed = {one["PropertyPath"] for one in drift.get("PropertyDifferences", ())}
    return drift["ResourceType"] == "AWS::Lambda::EventSourceMapping" and changed == {"/Enabled"}


def faults_of_mapping(name: str, found: Mapping[str, Any], *, function: str, reads: str) -> Iterator[Fault]:
    """
    Whether a stack's mapping hands its function what the stack says.

    Args:
        name: Of the stack.
        found: The mapping.
        function: Name of the stack's function.
        reads: ARN of the stream or queue.
    """
    if found.get("EventSourceArn") != reads or found.get("FunctionArn", "").split(":")[6:7] != [function]:
        yield Fault(
            f"The mapping of the stack {name} reads something else, or hands it to another function.",
            "deploy the stack again, or undo what was changed by hand; then run the command again.",
        )
