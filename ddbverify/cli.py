"""The command line of ``ddbverify``: arguments in, exit codes out (docs/commands.md)."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console
from tabulate import tabulate

from ddbverify import config as configuration
from ddbverify.commands import init as starts
from ddbverify.commands import lookup
from ddbverify.config import Side
from ddbverify.diff import diff as diffs
from ddbverify.diff import text as diff_text
from ddbverify.diff.options import Options, config_of
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError
from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence import folders, row, signing
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.evidence.evidence import tool_version
from ddbverify.gate import gate as gates
from ddbverify.gate.reasons import AWS_REFUSED, NOT_TRUSTED
from ddbverify.plugins import loading as extensions
from ddbverify.reports import ci, progress, summary
from ddbverify.reports import plan as plans
from ddbverify.runs import run as runs
from ddbverify.tables.segments import MOST_SEGMENTS

_CUT_SHORT = 3
"""Nobody reads the outcome, or it was not waited for: never 0, whatever it would have been."""

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path(configuration.FILE_NAME),
    show_default=True,
    help="The migration's settings.",
)
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output, all else to stderr."
)

_POSITIVE = click.IntRange(min=1)
_REACHED = [
    click.option(f"--{side}-{name}", metavar=metavar, help=f"{what} of the {side}.")
    for side in ("source", "target")
    for name, metavar, what in (
        ("region", "REGION", "Region"),
        ("profile", "PROFILE", "AWS profile"),
        ("endpoint-url", "URL", "Endpoint"),
    )
]
"""How to reach the two sides."""

_TRANSFORM = click.option(
    "--transform", metavar="MODULE:FUNCTION", help="What makes a target item of a source item."
)
_SIDES = [
    click.argument("source"),
    click.argument("target"),
    *_REACHED,
    _TRANSFORM,
    click.option("--rekeys", is_flag=True, help="The transform may change keys, or return lists."),
    click.option("--segments", type=click.IntRange(1, MOST_SEGMENTS), help="Cut the tables into so many."),
    click.option("--sample", metavar="PERCENT", help='Read whole segments at random, such as "0.5%".'),
    click.option("--seed", type=click.IntRange(min=0), help="Of the sample; drawn and shown by default."),
    click.option("--read-units", type=_POSITIVE, help="Ceiling of read units per second, for each table."),
    click.option(
        "--max-read-units", type=_POSITIVE, help="Stop once both tables together have cost so many."
    ),
]
"""What `plan` and `diff` have in common."""


def _of_two_sides(command: Callable[..., None]) -> Callable[..., None]:
    return _with(_SIDES, command)


def _reaching_two_sides(command: Callable[..., None]) -> Callable[..., None]:
    return _with(_REACHED, command)


def _with(decorators: Sequence[Callable[..., Any]], command: Callable[..., None]) -> Callable[..., None]:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tool_version(), prog_name="ddbverify")
def main() -> None:
    """Verify that DynamoDB tables hold what they should, and judge the evidence."""


@main.command(short_help="Write migration.toml and checks/ into this folder.")
@click.option("--source", metavar="TABLE", help="Source table, a name or an ARN; asked for if left out.")
@click.option("--target", metavar="TABLE", help="Target table, likewise.")
@_reaching_two_sides
@_TRANSFORM
@_JSON
def init(
    source: str | None, target: str | None, transform: str | None, *, as_json: bool, **given: Any
) -> None:
    """
    Write migration.toml and checks/ into this folder, as far as they are missing.

    Nothing that is there is changed or overwritten.

    Exit status: 0 done, 2 usage, or what was said makes no migration.
    """
    folder = Path.cwd()
    try:
        answers = None
        if not (folder / configuration.FILE_NAME).exists():
            answers = starts.Answers(
                source=_asked("source", source),
                target=_asked("target", target),
                source_side=_side_of("source", given),
                target_side=_side_of("target", given),
                transform=transform,
            )
        elif source or target or transform or any(given.values()):
            raise ConfigurationError(
                f"There is a {configuration.FILE_NAME} already, and it is not changed.",
                "change it by hand; without options, this command adds the other files.",
            )
        made = starts.init(folder, answers)
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        _print_json(made.as_json())
    else:
        click.echo(starts.next_steps(made))


def _is_a_terminal() -> bool:
    return sys.stdin.isatty()


def _asked(side: str, said: str | None) -> str:
    if said is not None:
        return said
    if not _is_a_terminal():
        raise click.UsageError(f"--{side} is missing: the name or ARN of the {side} table.")
    return str(click.prompt(f"{side.capitalize()} table (name or ARN)", err=True))


@main.command()
@_CONFIG
@_JSON
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of this run; new or empty."
)
@click.option("--sample", metavar="PERCENT", help='Read a sample, such as "0.5%"; it never opens a gate.')
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def run(
    config_file: Path, out: Path | None, sample: str | None, pytest_args: tuple[str, ...], *, as_json: bool
) -> None:
    """
    Run all checks and leave signed evidence.

    Arguments after -- go to pytest; what they leave out closes the gate.

    Exit status: 0 equal, 1 differences, 2 usage, 3 inconclusive or incomplete, 6 AWS refused.
    """
    # A supervisor ends us with SIGTERM; the child has to be ended, and the evidence written, too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = runs.run(
            config_file,
            out=out,
            coverage=sample,
            extra=pytest_args,
            output_to_stderr=as_json,
            warn=lambda line: _say(f"warning: {line}"),
        )
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    if result.new_key is not None:
        click.echo(
            f"A new signing key was made: {result.new_key.path}. Its public key, for trusted_keys:\n"
            f"  {result.new_key.public}",
            err=True,
        )
    if not result.trusted:
        click.echo(
            "The signing key is not among [gate] trusted_keys: this evidence opens no gate of this file.",
            err=True,
        )
    click.echo(f"\n{result.evidence.verdict}: {result.folder}", err=as_json)
    for problem in result.unreported:
        click.echo(f"  not reported: {problem}", err=as_json)
    for shortcoming in result.evidence.shortcomings:
        click.echo(f"  not complete: {summary.printable(shortcoming, 2000)}", err=as_json)
    if as_json:
        _print_json(result.as_json())
    _show_in_pipeline(ci.annotations_of_run(result.evidence), summary.markdown(result.evidence), err=as_json)
    sys.exit(result.exit_code)


@main.command(short_help="Say whether the evidence allows the cutover.")
@_CONFIG
@_JSON
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def gate(config_file: Path, folder: Path | None, *, as_json: bool) -> None:
    """
    Say whether the evidence in FOLDER (default: the latest run) allows the cutover.

    Exit status: 0 open; closed: 1 a check failed, 3 incomplete or pipeline unhealthy, 4 stale,
    5 missing or not trusted, 6 AWS refused; the highest of all reasons.
    """
    try:
        decision = gates.judge(configuration.load(config_file), folder)
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    run_id = f" (run {decision.evidence.run_id})" if decision.evidence else ""
    click.echo(f"gate {'open' if decision.open else 'closed'}: {decision.folder}{run_id}", err=as_json)
    for reason in decision.reasons:
        click.echo(f"  {reason.code}: {summary.printable(reason.message, 2000)}", err=as_json)
    for one in decision.known:
        click.echo(f"  {summary.printable(summary.known_in_words(one))}", err=as_json)
    if not decision.open:
        click.echo(
            "  Try: mend what is named, then `ddbverify run` again; docs/checks.md has each code.",
            err=as_json,
        )
    if as_json:
        _print_json(decision.as_json())
    _show_in_pipeline(ci.annotations_of_gate(decision), ci.gate_markdown(decision), err=as_json)
    sys.exit(decision.exit_code)


@main.command(short_help="Make the key that signs evidence.")
@_CONFIG
@_JSON
def keygen(config_file: Path, *, as_json: bool) -> None:
    """
    Make the key that signs evidence, and print its public half for trusted_keys.

    A key that is there is never overwritten. Of a key in KMS, which is made there, the public half
    is printed.

    Exit status: 0 done, 2 usage, or there is a key already, 6 AWS refused.
    """
    try:
        config = configuration.load(config_file)
        path = signing.key_path(config)
        if path is not None and path.exists():
            raise ConfigurationError(
                f"There is a signing key already: {path}, whose public key is "
                f"{signing.signing_key(config).public}.",
                "use it; or move it away first, after which evidence that it signed opens no gate.",
            )
        if path is not None and path.parent == folders.home(config):
            folders.make_home(config)  # out of version control
        public = str(signing.signing_key(config).public)
    except OSError as error:
        _refuse(folders.unusable(error, folders.home(config)), as_json=as_json)
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    place = config.gate.signing_key if path is None else str(path)
    if as_json:
        _print_json({"command": "keygen", "signing_key": place, "public_key": public})
    else:
        click.echo(f"Signing key: {place}\nPublic key, for [gate] trusted_keys:", err=True)
        click.echo(public)


@main.command()
@_CONFIG
@click.argument("file", required=False, type=click.Path(path_type=Path))
def evidence(config_file: Path, file: Path | None) -> None:
    """
    Verify a signed file, and print what it says as JSON.

    FILE is the evidence of a run (or its folder; default: the latest) or of a cutover. Whether it is
    fresh, and about these tables, is for `gate` to say.

    Exit status: 0 signed by a trusted key, 2 usage, 5 missing or not trusted, 6 AWS refused.
    """
    try:
        config = configuration.load(config_file)
        place = folders.latest(config) if file is None else file
        trusted = signing.trusted_keys(config)
        content = row.content(place) if place.is_dir() or file is None else place.read_bytes()
        _print_json(cutover_evidence.read_signed(content, trusted))
    except DdbVerifyError as error:
        _refuse(error, as_json=False)
    except (OSError, NotTrusted) as error:
        why = (error.strerror or "it cannot be read") if isinstance(error, OSError) else error
        click.echo(
            f"Error: The evidence in {place} must not be believed: {why}.\n"
            "  Try: name another file, or make it again with `ddbverify run`.",
            err=True,
        )
        sys.exit(NOT_TRUSTED)


@main.command(short_help="Say what comparing two tables costs.")
@_of_two_sides
@click.option(
    "--price", type=click.FloatRange(min=0), help="US dollars for a million read request units, on demand."
)
@_JSON
def plan(price: float | None, *, as_json: bool, **given: Any) -> None:
    """
    Say what comparing SOURCE and TARGET costs: items, read units, money, time.

    A table is a name or an ARN. No item is read; the figures are DynamoDB's own, up to six hours old.

    Exit status: 0 done, 2 usage, or `diff` would refuse these tables, 6 AWS refused.
    """
    try:
        options = _options(given)
        estimate = plans.plan(
            config_of(options, Path.cwd()), seed=options.seed, segments=options.segments, price=price
        )
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        _print_json(estimate.as_json())
    else:
        click.echo(plans.text(estimate))
    sys.exit(estimate.exit_code)


@main.command(short_help="Compare two tables, and show every key that differs.")
@_of_two_sides
@click.option("--ignore", multiple=True, metavar="PATH", help="Attribute path to leave out; repeatable.")
@click.option(
    "--settle",
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="A difference counts once the source has held still for so long. Waited for only where "
    "something differs; 0s is right for tables that nobody writes to, and wrong for all others.",
)
@click.option(
    "--stratum",
    "strata",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keys to compare beside a --sample, in JSON Lines; reported apart from its bound. Repeatable.",
)
@click.option("--memory", metavar="SIZE", help="For items that wait for their partner; default 512MB.")
@click.option("--values", is_flag=True, help="Show the items of findings, too; read again for that.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="A report, or one JSON object per finding as it is decided, and a summary last.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for findings.jsonl (mode 0600), summary.json and the checkpoint.",
)
@click.option("--resume", is_flag=True, help="Go on with the interrupted run in --out.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def diff(
    *, values: bool, output_format: str, out: Path | None, resume: bool, quiet: bool, **given: Any
) -> None:
    """
    Compare SOURCE and TARGET completely, and show every key that differs.

    A table is a name or an ARN. Keys are shown, values only with --values.

    Exit status: 0 equal, 1 differences, 2 usage, 3 inconclusive or incomplete, 6 AWS refused.
    """
    # A supervisor ends us with SIGTERM: what was found has to be added up then, too.
    signal.signal(signal.SIGTERM, _interrupt)
    lines = output_format == "jsonl"
    try:
        if resume and out is None:
            raise click.UsageError("--resume needs --out: the folder of the interrupted run.")
        request = diffs.Request(
            options=_options(given), folder=Path.cwd(), out=out, resume=resume, values=values, lines=lines
        )
        show = _display(quiet=quiet, lines=lines)
        result = diffs.run(request, emit=_print_line, say=_say, show=show)
        _print_line(json.dumps({"summary": result.summary}) if lines else diff_text.text(result))
        if result.unwritten is not None:
            click.echo(f"Error: {result.unwritten}", err=True)
    except DdbVerifyError as error:
        _refuse(error, as_json=lines, indent=None)
    except BrokenPipeError:
        sys.exit(_CUT_SHORT)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(_CUT_SHORT)
    sys.exit(result.exit_code)


@main.command(short_help="Show the key that a hash in a message stands for.")
@_CONFIG
@_JSON
@click.argument("hash")
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
def explain(config_file: Path, hash: str, folder: Path | None, *, as_json: bool) -> None:  # noqa: A002
    """
    Show the key that HASH in a message stands for, and where its items differ.

    Looks in FOLDER, a run's; by default in all runs and pytest sessions beside migration.toml. Works
    on the machine that made them only. It prints raw keys.

    Exit status: 0 found, 2 not found.
    """
    try:
        found = lookup.explain(hash, config_file.resolve().parent / folders.HOME, folder)
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        _print_json({"command": "explain", "found": [one.line | {"file": str(one.file)} for one in found]})
    else:
        click.echo("\n\n".join(one.text() for one in found))


@main.command(short_help="List the plugins that are installed.")
@_CONFIG
@_JSON
def plugins(config_file: Path, *, as_json: bool) -> None:
    """
    List the plugins that are installed, and which of them may take part.

    One that [verification] plugins does not list is not even imported.

    Exit status: 0 done, 2 usage, or a plugin that may take part cannot be used.
    """
    try:
        config = configuration.load(config_file)
        folders.make_importable(config)
        rows = extensions.listed(config, folders.checks_folder(config))
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        _print_json({"command": "plugins", "plugins": rows, "exit_code": 0})
        return
    if not rows:
        click.echo("No plugin is installed, and checks/conftest.py implements no hook.")
        return
    shown = [
        (
            row["name"],
            row["version"] or "-",
            row["distribution"] or row["origin"],
            "yes" if row["allowed"] else "no",
            ", ".join(name.removeprefix(extensions.PREFIX) for name in row["hooks"] or ()) or "not loaded",
        )
        for row in rows
    ]
    headers = ("plugin", "version", "from", "allowed", "hooks")
    click.echo(tabulate(shown, headers, disable_numparse=True, maxcolwidths=[None, None, None, None, 60]))


def _options(given: dict[str, Any]) -> Options:
    """The two sides as `_SIDES` has them, and whatever else goes by its own name."""
    source, target = _side_of("source", given), _side_of("target", given)
    return Options(source_side=source, target_side=target, **given)


def _side_of(side: str, given: dict[str, Any]) -> Side:
    return Side(**{name: given.pop(f"{side}_{name}") for name in Side.__struct_fields__})


def _display(*, quiet: bool, lines: bool) -> diffs.Display:
    if quiet:
        return lambda _: progress.silence()
    console = Console(stderr=True, highlight=False)
    # Findings that come out between would tear the bar apart.
    if console.is_terminal and not (lines and sys.stdout.isatty()):
        return partial(progress.bar, console=console)
    return partial(progress.lines, say=_say)


def _show_in_pipeline(annotations: list[str], markdown: str, *, err: bool) -> None:
    """What GitHub shows of a job, where this is one; both of its streams are read for it."""
    for line in annotations if ci.shows_annotations(os.environ) else ():
        click.echo(line, err=err)
    problem = ci.append_summary(markdown, os.environ)
    if problem is not None:
        _say(problem)


def _say(line: str) -> None:
    click.echo(f"ddbverify: {line}", err=True)


def _print_line(line: str) -> None:
    """Raises BrokenPipeError once, when nobody reads any more; from then on it prints nowhere."""
    try:
        click.echo(line)
    except BrokenPipeError:
        # Else the interpreter complains when it flushes standard output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _refuse(error: DdbVerifyError, *, as_json: bool, indent: int | None = 2) -> NoReturn:
    """End with an expected error; anything unexpected stays a traceback."""
    exit_code = AWS_REFUSED if isinstance(error, EngineError) else 2
    click.echo(f"Error: {error}", err=True)
    if as_json:
        shown = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        _print_json({"error": shown, "exit_code": exit_code}, indent=indent)
    sys.exit(exit_code)


def _print_json(document: dict[str, Any], *, indent: int | None = 2) -> None:
    click.echo(json.dumps(document, indent=indent))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
