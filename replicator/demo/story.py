"""
The story that ``replicator demo`` tells, step by step, with the commands that a user would run.

Each command is a child process: what is shown is what is shipped. Whatever fails, the proof at
the end is still made, so that a failure is counted and not only reported.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from ddbverify.words import number_of
from replicator.context.console import Console
from replicator.demo import refusal, reports, shapes, stage, team
from replicator.demo.proof import Proof, prove
from replicator.demo.scene import Scene
from replicator.demo.shapes import Item, Schema
from replicator.demo.shell import Shell, StepFailed
from replicator.demo.story_words import examined, key_text, reasons, steps_table, typed_key
from replicator.demo.team import Team
from replicator.demo.traffic import Application, Journal, Writers, made_of

_FOLLOWER_SECONDS: Final = 120.0
_OPENING_SECONDS: Final = 180.0
_FLIPS_BEHIND: Final = (
    ("cutback", "cutback under traffic: to the old table, which has followed"),
    ("cutover", "cutover again: to the new table, which has followed"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    items: Path | None = None
    count: int = 1000
    traffic: float = 100.0
    transform: str | None = None
    seed: int = 1
    keep: bool = False
    report: Path | None = None  # folder
    two_accounts: bool = False
    short: bool = False
    deployed: bool = False


@dataclass(slots=True)
class Done:
    """One step that was told: what came of it, and how long it took."""

    step: str
    result: str
    seconds: float
    held: bool


@dataclass(slots=True)
class Story:
    """One telling. `tell` returns the outcome for machines; its ``held`` decides the exit status."""

    options: Options
    console: Console
    scene: Scene
    folder: Path
    items: list[Item]
    schema: Schema
    target_schema: Schema
    rekeys: bool
    function: Callable[[Item], Any] | None
    told: list[Done] = field(default_factory=list)
    swapped: tuple[Item, Item] | None = None
    proof: Proof | None = None
    team: Team = field(init=False)
    refusals: list[str] = field(default_factory=list)  # of each flip: how long a write was refused at most
    longest_refusal: float = 0.0
    target_had_tags: bool | None = None  # as it was restored
    deadline: float | None = None  # monotonic seconds: no command goes on behind it

    def __post_init__(self) -> None:
        self.team = Team(self.scene, self.folder)

    @property
    def goes_back(self) -> bool:
        """
        Whether there is a way back.

        Nobody says how to undo a transform; and a way back is a pipeline that no other team would deploy.
        """
        return self.function is None and not self.options.deployed

    @property
    def _shell(self) -> Shell:
        return Shell(self.console, self.scene.environments, self.folder, self.deadline)

    def tell(self) -> dict[str, Any]:
        """Tell it to its end, or to the first step that fails; then prove what is there."""
        started = time.monotonic()
        self.items, self.swapped = shapes.with_swap_names(self.items, self.schema, self.rekeys)
        with self._step("source table loaded") as done:
            journal = self._load()
            done.result = f"{len(self.items)} items in {self.scene.source}"
        application = stage.application(self.scene, self.schema, self.target_schema, self.function, journal)
        busy = self.items[:-3]  # the last items are nobody's: one is altered, two are swapped
        writers = Writers(application, busy, self.options.traffic, self.options.seed)
        failed = ""
        try:
            with self._step("writers started") as done:
                writers.start()
                done.result = f"{self.options.traffic:g} operations a second"
            self._migrate(application)
        except StepFailed as error:
            failed = str(error)
        finally:
            writers.stop()
        if application.errors:
            failed = failed or f"the application failed: {application.errors[0]}"
        failed = self._prove(journal, failed)
        if not failed and not self.options.keep:
            try:
                self._tear_down()
            except StepFailed as error:
                failed = str(error)
        return self._summary(application, failed, time.monotonic() - started)

    # --- the chapters ---------------------------------------------------------------------

    def _migrate(self, application: Application) -> None:
        if self.options.deployed:
            self._others_deploy()
        taking = ("--deployed",) if self.options.deployed else ()
        with self._step("phase 1: capture, canary, backup"):
            self._shell.run("replicator", "up", *taking)
        if self.options.deployed:
            self._deploy_written()
        with self._step(f"phase 2: restored in {self.scene.target}, follows"):
            self._shell.run("replicator", "restore", *taking)
            self.target_had_tags = stage.tag_target(self.scene)
        if self.swapped:
            with self._step("two items swap keys, writers running") as done:
                done.result = self._swap(application, *self.swapped)
        with self._step("checks pass while traffic flows") as done:
            done.result = self._passing()
        if not self.options.short:
            self._alter()
        with self._step("gate is open"):
            self._shell.run("ddbverify", "gate")
        self._flip(application, "cutover", "cutover under traffic: fence, drain, verify, flip")
        reports.leave(self._shell, self.options.report, reports.CUTOVER)
        if not self.goes_back:
            return
        for command, title in _FLIPS_BEHIND[: 1 if self.options.short else None]:
            with self._step("checks pass while the other table follows") as done:
                done.result = self._passing()
            self._flip(application, command, title)

    def _others_deploy(self) -> None:
        """The first of the rounds in which parameters become known: `up` goes as far as it can."""
        self._deploy_written()
        with self._step("`up --deployed` takes what is there, and names the stack that is not") as done:
            refused = self._shell.json("replicator", "up", more=("--deployed", "--json"), fails=True)
            done.result = str(refused.get("error"))
            if "is not deployed" not in done.result:
                raise StepFailed(done.result)
        self._deploy_written()

    def _deploy_written(self) -> None:
        with self._step("`synth` writes the stacks that are known, others deploy them") as done:
            self._shell.run("replicator", "synth", "--out", team.FOLDER)
            done.result = self.team.deploy()

    def _alter(self) -> None:
        victim, before = self._victim()
        with self._step("an item of the target is altered behind our back"):
            altered = {**before, "altered": "by hand"}
            self.scene.target.table().put_item(Item=altered)
        with self._step("checks name it") as done:
            done.result = self._caught(victim)
        reports.leave(self._shell, self.options.report, reports.ALTERED)
        with self._step("gate is closed, cutover is refused") as done:
            self._shell.run("ddbverify", "gate", fails=True)
            self._shell.run("replicator", "cutover", fails=True)
            done.result = "both say why"
        with self._step("the item is put back, checks pass") as done:
            self.scene.target.table().put_item(Item=before)
            done.result = self._passing()

    def _flip(self, application: Application, command: str, title: str) -> None:
        application.longest_refusal = 0.0
        with self._step(title) as done:
            self._shell.run("replicator", command)
            done.result = f"{number_of(application.refused, 'write')} kept out by fences so far"
        before = application.journal.count
        with self._step("writers go on against the table that the pointer names") as done:
            begun = time.monotonic()  # the policy of a table takes a while until it lets everybody in again
            while application.journal.count < before + 100 and time.monotonic() < begun + (
                20 if application.journal.count > before else _OPENING_SECONDS
            ):
                time.sleep(0.1)
            done.result = number_of(application.journal.count - before, "write")
            if application.journal.count == before:
                raise StepFailed("no writer went on after the flip")
        flipped = self._shell.json("ddbverify", "evidence", ".ddbverify/cutover.json", more=(), fails=False)
        longest = application.longest_refusal
        self.longest_refusal = max(self.longest_refusal, longest)
        self.refusals.append(f"{command} {longest:.1f} s ({refusal.parts(flipped['steps'])})")

    def _load(self) -> Journal:
        source, target = self.scene.source, self.scene.target
        stage.create_table(source, self.schema, self.scene.tags)
        stage.make_pointer(self.scene)
        if self.target_schema != self.schema:
            # The transform makes another key, which nobody but its author knows: the table is theirs to make.
            stage.create_table(target, self.target_schema, self.scene.tags)
        journal = Journal(self.folder / "journal.jsonl", self.schema)
        with source.table().batch_writer() as batch:
            for item in self.items:
                batch.put_item(Item=item)
        for item in self.items:
            journal.wrote({name: item[name] for name in self.schema}, item)
        stage.write_settings(self.folder, self.scene, self.options.transform, rekeys=self.rekeys)
        return journal

    def _swap(self, application: Application, one: Item, two: Item) -> str:
        """Two items exchange all but their keys; one of them finds its new target key still taken."""
        key_one, key_two = ({name: item[name] for name in self.schema} for item in (one, two))
        for key, before, after in ((key_one, one, {**two, **key_one}), (key_two, two, {**one, **key_two})):
            application.write(key, before, after)
        wanted = [*made_of({**two, **key_one}, self.function), *made_of({**one, **key_two}, self.function)]
        table = self.scene.target.table()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            repaired = self._shell.json("replicator", "repair", fails=None)
            found = [
                table.get_item(
                    Key={name: item[name] for name in self.target_schema}, ConsistentRead=True
                ).get("Item")
                for item in wanted
            ]
            if found == wanted:
                freed = sum(pair["repaired"] for pair in repaired.get("pairs", {}).values())
                return f"both arrived, {freed} by `replicator repair`"
            time.sleep(0.2)
        raise StepFailed("the two swapped items never arrived")

    def _passing(self) -> str:
        """A run that opens the gate; keys that never held still are left to the fence."""
        outcome = self._shell.json("ddbverify", "run", fails=None)
        if outcome.get("exit_code") != 0 and not outcome.get("only_churning"):
            gate = self._shell.json("ddbverify", "gate", fails=None)
            raise StepFailed("the gate is closed: " + reasons(gate))
        return examined(outcome)

    def _caught(self, victim: Item) -> str:
        self._shell.json("ddbverify", "run", fails=True)
        findings = self.folder / ".ddbverify" / "latest" / "findings.jsonl"
        found = [json.loads(line) for line in findings.read_text(encoding="utf-8").splitlines()]
        different = [one for one in found if one["finding"] != "churning"]
        if len(different) != 1 or different[0]["finding"] != "different":
            states = ", ".join(sorted({one["finding"] for one in different})) or "nothing"
            raise StepFailed(
                f"the checks named {number_of(len(different), 'item')} ({states}), and not the one altered"
            )
        if key_text(different[0]["key"]) != key_text(typed_key(victim, self.target_schema)):
            raise StepFailed("the checks named another item than the one that was altered")
        return "that item, and no other"

    def _prove(self, journal: Journal, failed: str) -> str:
        if self.aws_has_target():
            with self._step("proof, with plain boto3 and the journal", quiet_failure=True) as done:
                if failed:
                    self._let_it_drain()
                target = partial(
                    prove, self.scene.target.table(), journal.path, list(self.target_schema), self.function
                )
                # A short story has ended at the source, if it could, and the target follows.
                ends_at_source = self.options.short and self.goes_back
                self.proof = self._of_follower(target) if ends_at_source and not failed else target()
                done.result = str(self.proof)
                done.held = self.proof.holds
        if not failed and self.proof and self.proof.holds and self.goes_back:
            with self._step("the old table holds the same, by the way back", quiet_failure=True) as done:
                source = self.scene.source.table()
                old = self._of_follower(partial(prove, source, journal.path, list(self.schema), None))
                done.result, done.held = str(old), old.holds
                failed = "" if old.holds else f"the way back does not hold: {old}"
        if failed or self.proof is None:
            return failed or "there is no target to prove anything of"
        return "" if self.proof.holds else f"the proof does not hold: {self.proof}"

    def _of_follower(self, proof: Callable[[], Proof]) -> Proof:
        """Of a table that follows, once what is under way has arrived; what is lost never does."""
        deadline = time.monotonic() + _FOLLOWER_SECONDS
        while True:
            self._let_it_drain()
            found = proof()
            if found.holds or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def _let_it_drain(self) -> None:
        """After a failed step: give what is still under way the time to arrive before it is judged."""
        deadline = time.monotonic() + 15
        try:
            while time.monotonic() < deadline:
                status = self._shell.json("replicator", "status", fails=None)
                depths = [pair.get("queue", {}) for pair in status.get("pairs", {}).values()]
                if not any(number for depth in depths for number in depth.values()):
                    return
                time.sleep(0.5)
        except StepFailed as error:
            self.console.line(f"    {error}")  # the time is over: it is judged as it is

    def _tear_down(self) -> None:
        if self.goes_back and not self.options.short:  # else the application is back where it was
            with self._step("replicator settle gives the way back up"):
                self._shell.run("replicator", "settle")
        if self.options.deployed:
            with self._step("the other team removes what it has deployed, but the state") as done:
                done.result = self.team.remove(base=False)
        with self._step("replicator down leaves the two tables") as done:
            self._shell.run("replicator", "down")
            self.team.remove(base=True)
            left = stage.tables_left(self.scene)
            done.result = ", ".join(left)
            if left != sorted((self.scene.source.name, self.scene.target.name)):
                raise StepFailed(f"these tables are left: {', '.join(left)}")

    # --- helpers ------------------------------------------------------------------------------

    def _victim(self) -> tuple[Item, Item]:
        """An item of the target of a key that no writer touches."""
        for item in reversed(self.items[:-2] if self.swapped else self.items):
            made = made_of(item, self.function)
            if made:
                key = {name: made[0][name] for name in self.target_schema}
                found = self.scene.target.table().get_item(Key=key, ConsistentRead=True)
                if "Item" in found:
                    return key, found["Item"]
            break
        raise StepFailed("the untouched item is not in the target")

    def aws_has_target(self) -> bool:
        """Whether the migration got as far as a target table."""
        return self.scene.target.name in stage.tables_left(self.scene)

    @contextmanager
    def _step(self, title: str, *, quiet_failure: bool = False) -> Iterator[Done]:
        self.console.line(f"▸ {title}")
        done = Done(title, "", 0.0, held=True)
        started = time.monotonic()
        try:
            yield done
        except StepFailed as error:
            done.held, done.result = False, str(error)
            raise
        finally:
            done.seconds = time.monotonic() - started
            self.told.append(done)
            if done.result and (done.held or quiet_failure):
                self.console.line(f"    {done.result}")

    def _summary(self, application: Application, failed: str, seconds: float) -> dict[str, Any]:
        self.console.line("")
        self.console.line(steps_table((one.held, one.step, one.result, one.seconds) for one in self.told))
        self.console.line("")
        if failed:
            self.console.line(f"FAILED: {failed}")
        if self.proof:
            self.console.line(
                f"{self.proof.acknowledged} acknowledged writes, {self.proof.expected} items expected, "
                f"{application.after_flip} writes after the flip, seed {self.options.seed}, {seconds:.1f} s"
            )
        for said in self.refusals:
            self.console.line(f"longest time that a write was refused: {said}")
        if self.proof:
            self.console.line(str(self.proof))
        return {
            "held": not failed,
            "failed": failed or None,
            "seed": self.options.seed,
            "seconds": round(seconds, 1),
            "writes_after_flip": application.after_flip,
            "longest_refusal_seconds": round(self.longest_refusal, 2),
            "proof": asdict(self.proof) if self.proof else None,
            "steps": [asdict(one) for one in self.told],
        }
