"""
What a check sees: one `Pair` of tables, or (`each_item`) one pair of items.

No message made here holds an item's value or a raw key: keys are keyed hashes (`ddbverify lookup`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from ddbverify.code.under_way import UnderWay
from ddbverify.compare import strata
from ddbverify.compare.causes import CAUSES_SHOWN, Causes, without_depth
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.inspection import Inspector, ItemCheck, Refutation, ReturnedInsteadOfAsserted
from ddbverify.compare.request import Elsewhere, Listeners, PassRequest, Progress
from ddbverify.config import Config
from ddbverify.config import Pair as PairSettings
from ddbverify.errors import EngineError
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem
from ddbverify.pipeline import health as pipeline
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.plugins.loading import Plugins
from ddbverify.setting_names import Setting, is_one_of, pattern
from ddbverify.suite import engines
from ddbverify.suite.once import Once
from ddbverify.suite.sealed import sealed
from ddbverify.suite.verdicts import HASH_DIGITS, Finding, Verdict, comparison_verdict
from ddbverify.suite.whole import require_whole
from ddbverify.tables import settings as table_settings
from ddbverify.tables import table as tables
from ddbverify.tables.parity import Parity, compare_settings
from ddbverify.tables.table import Table
from ddbverify.words import in_toml, number_of

BOTH_EMPTY: Final = "both tables are empty, as may_be_empty = true says that they may be"
"""What a pass over such a pair says of itself."""


class Pair:
    """
    One source and target table, as every check of a session sees them.

    Nothing is read before it is touched, and nothing is read twice: all checks of a session
    share one object per pair. A read that failed is not tried again either; every check that
    needs it gets the same error.
    """

    def __init__(
        self,
        config: Config,
        settings: PairSettings,
        *,
        fraction: float | None = None,
        changed: Path | None = None,
        secret: bytes,
        found: Callable[[str, Difference | Refutation, str], None] | None = None,
        plugins: Plugins | None = None,
        reading: Callable[[Pair], AbstractContextManager[Callable[[Progress], None]]] | None = None,
        compared: Callable[[Pair, Comparison], None] | None = None,
    ) -> None:
        """
        See the pair *settings* of *config*.

        Args:
            config: The whole configuration.
            settings: One of its tables.
            fraction: Of the segments to read; ``None`` for all of them.
            changed: File of keys, as `compare.strata` reads it: the shared pass looks at these alone, if any.
            secret: Key of the hashes that stand for keys in messages, and of the digests of items.
            found: Told of every difference and every refutation of the shared pass as it is
                decided: the pair's id, what it is, and the hash that stands for its key.
            plugins: Asked about differences; only the built-in one by default.
            reading: Entered for as long as the shared pass lasts, and told how far it is.
            compared: Told of the shared pass as soon as it has been made.
        """
        self.config = config
        self.settings = settings
        self._id = settings.id
        self._secret = secret
        self._found, self._reading, self._compared = found, reading, compared
        self.by_key = True  # the check that sees it claims of all keys what holds of each
        self.read_whole = False  # the check has read the comparison, and does not claim by key
        self.is_reading = False
        self.seconds_reading = 0.0  # that the shared pass has taken
        self.progress: Progress | None = None  # as reported last
        self._item_checks: list[ItemCheck] = []
        self._covered: set[str] = set()
        self._inspector: Inspector | None = None
        self.elsewhere = Elsewhere()
        self._source = Once(lambda: sealed(tables.describe(config.source, settings.source)))
        self._target = Once(lambda: sealed(tables.describe(config.target, settings.target)))
        self.transforming = UnderWay()
        self._transform = Once(self._load_transform)
        self._fraction, self.changed, self._plugins = fraction, changed, plugins
        self._comparison = Once(self._compare)
        self._pipeline = Once(lambda: sealed(pipeline.health(config, settings)))
        self._parity = Once(self._compare_settings)

    def __repr__(self) -> str:
        return f"<Pair {self.settings.id}>"

    @property
    def id(self) -> str:
        """Short stable name of the pair."""
        return self._id  # asked for with every check of every pair

    @property
    def source(self) -> Table:
        """The source as DynamoDB describes it."""
        return self._source()

    @property
    def target(self) -> Table:
        """The target as DynamoDB describes it."""
        return self._target()

    @property
    def transform(self) -> Transform:
        """What a source item becomes in the target; the identity where none is configured."""
        return self._transform()

    @property
    def comparison(self) -> Comparison:
        """
        The one shared pass over both tables. The first check that touches it pays for all.

        Raises:
            Inconclusive: Only keys that were written since an earlier pass are looked at, and the check is
                not marked ``by_key``: what it counts would be something else.
        """
        return self._read(self._comparison())

    def _read(self, comparison: Comparison) -> Comparison:
        if not self.by_key:
            self.read_whole = True
            require_whole(comparison)
        return comparison

    @property
    def was_refused(self) -> bool:
        """Whether the shared pass was tried, and AWS refused before anything was read."""
        return isinstance(self._comparison.error, EngineError)

    @property
    def compared(self) -> Comparison | None:
        """The shared pass if it has been made, without making it. Raises as `comparison` does."""
        made = pass_made(self)
        return None if made is None else self._read(made)

    @property
    def sample(self) -> Comparison:
        """
        Whole segments of both tables, enough for a bound on what was not read.

        A full pass has read every segment that could be drawn, so it is the best sample
        there is and costs nothing more; with sampled coverage the shared pass is the sample.
        """
        return self.comparison

    @property
    def pipeline(self) -> PipelineHealth:
        """Health of the replication into the target, when the session first asked."""
        return self._pipeline()

    @property
    def is_sampled(self) -> bool:
        """Whether whole segments are drawn, and not every item is read."""
        return (self._fraction or 1) < 1

    @property
    def is_reshaped(self) -> bool:
        """Whether a transform stands between the tables."""
        return self.settings.transform is not None

    def parity(self, *names: str) -> Verdict:
        """
        What the settings of both tables say about those in *names*, each difference a counter-example.

        What ``[[tables]] accept`` names is none: it stands in `Verdict.accepted`. A setting that
        could not be read leaves the claim undecided.

        Args:
            names: Such as ``"pitr"`` or ``"index.*"``; all of them are in `ddbverify.setting_names`.

        Raises:
            ValueError: One of *names* means no setting.
        """
        parity = self._parity()
        wanted = tuple(map(pattern, names))
        accepts = tuple(map(pattern, self.settings.accept))
        differences = [one for one in parity.differences if is_one_of(one.setting, wanted)]
        unread = [one for one in parity.unread if is_one_of(one.setting, wanted)]
        refuting = [one for one in differences if not one.deferred and not is_one_of(one.setting, accepts)]
        undecided = [one for one in unread if not is_one_of(one.setting, accepts)]
        accepted = [one for one in (*differences, *unread) if one not in refuting and one not in undecided]
        quoted = ", ".join(in_toml(str(one.setting)) for one in refuting)
        return Verdict(
            # Where neither side has anything of that kind, just that was looked at.
            examined=max(1, sum(is_one_of(one, wanted) for one in parity.examined)),
            findings=tuple(Finding(str(one)) for one in refuting),
            unexamined=tuple(map(str, undecided)),
            causes=tuple(f"{one.setting} differs" for one in refuting),
            accepted=tuple(f"{one}{' (until the cutover)' if one.deferred else ''}" for one in accepted),
            hint=f"change the target, or say that it may differ: [[tables]] accept = [{quoted}].",
        )

    @property
    def running(self) -> tuple[ItemCheck, Hashable] | None:
        """The check on items that is being called now, and what tells this call from others."""
        if self._inspector and (running := self._inspector.running):
            return running
        call = self.elsewhere.call
        return next(((one, call) for one in self._item_checks if call and one.id == call.check), None)

    def subscribe(self, check: ItemCheck) -> None:
        """
        Let a check see every pair of items of the shared pass.

        Raises:
            RuntimeError: The pass has been made already.
        """
        if pass_made(self) is not None:
            raise RuntimeError(f"{check.name} came too late: the shared pass has been made")
        self._item_checks.append(check)

    def will_alter(self, attributes: Iterable[str]) -> None:
        """Let the controls of the shared pass alter these attributes; see `ddbverify.suite.blindness`."""
        self._covered |= set(attributes)

    def seeing(self, comparison: Comparison) -> Pair:
        """The same pair to a check that is to see another comparison than the shared pass."""
        other = self.of_its_own()
        other._comparison = Once(lambda: sealed(comparison))  # noqa: SLF001 - it is one of us
        return other

    def of_its_own(self) -> Pair:
        """The same pair to one check: an attribute that the check sets is set for it alone."""
        other = object.__new__(type(self))
        for name, value in vars(self).items():  # copy.copy makes a dictionary of each, which costs more
            setattr(other, name, value)
        return other

    def inspected(self, check: ItemCheck) -> Verdict:
        """What a check that has subscribed learned of the items on both sides; of others it is silent."""
        comparison = self._comparison()
        result = comparison.inspected.get(check.id)
        if result is None:
            return Verdict(examined=0, unexamined=(f"{check.name} did not see the shared pass",))
        about_all = comparison_verdict(comparison)
        raised = (
            f"it {_did(what)} on {number_of(count, 'item')}" for what, count in result.raised.most_common(3)
        )
        # Of items that are as expected the claim of one that looks at all others holds.
        equal = comparison.counts.get(State.MATCHED, 0) if check.only_different else 0
        return Verdict(
            examined=result.examined + equal,
            findings=tuple(
                Finding(f"refuted {self.key_hash(one.key)} {one.where}") for one in result.examples
            ),
            unlisted=result.refuted - len(result.examples),
            causes=tuple(
                f"{place} ({number_of(items, 'item')})"
                for place, items in result.places.most_common(CAUSES_SHOWN)
            ),
            unexamined=(*about_all.unexamined, *raised),
            churning=about_all.churning + result.missed,
            empty=about_all.empty,
            may_be_empty=about_all.may_be_empty,
        )

    def verdict(self, *states: State, of: Comparison | None = None) -> Verdict:
        """
        What the shared pass says about keys in *states*, each of which is a counter-example.

        Args:
            states: Such as ``State.MISSING``.
            of: Another comparison than the shared pass.
        """
        comparison = of or self._comparison()
        refuted, causes = comparison.only(*states), Causes()
        for one in refuted:
            causes.add(one.state, map(without_depth, one.paths), one.reason)
        found = comparison_verdict(
            comparison, findings=tuple(Finding(self._in_words(one)) for one in refuted), refuting=states
        )
        said = (f"{one.text} ({number_of(one.findings, 'finding')})" for one in causes.most_common())
        return replace(found, causes=tuple(said))

    def key_hash(self, key: TypedItem) -> str:
        """What stands for a key wherever it may be read by others; it changes with every run."""
        text = json.dumps(key, sort_keys=True, default=repr).encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:HASH_DIGITS]

    def _compare_settings(self) -> Parity:
        ours = table_settings.read(self.config.source, source := self.source)
        theirs = table_settings.read(self.config.target, target := self.target)
        # Asked only where it matters: only the state table knows whose a stream is, and which table follows.
        stream, ttl = Setting.own("stream"), Setting.own("ttl")
        streams_differ = ours.values.get(stream) != theirs.values.get(stream)
        expires = ttl in ours.values or ttl in theirs.values
        return compare_settings(
            ours,
            theirs,
            reshaped=self.is_reshaped,
            same_place=(source.account, source.region) == (target.account, target.region),
            stream_is_ours=streams_differ and self.pipeline.stream_enabled_by_us,
            source_follows=expires and self.pipeline.source_follows,
        )

    def _compare(self) -> Comparison:
        def report(progress: Progress) -> None:
            self.progress = progress
            show(progress)

        transform = self.transform
        began, self.is_reading = time.monotonic(), True
        try:
            with self._reading(self) if self._reading else nullcontext(lambda _: None) as show:
                comparison = engines.compare(
                    self.config,
                    self.settings,
                    PassRequest(
                        sample=self._fraction,
                        changed=strata.changed(self.changed, self.source.key_schema),
                        transform=transform,
                        item_checks=self._item_checks,
                        covered=self._covered,
                        plugins=self._plugins or Plugins(self.config),
                        secret=self._secret,
                    ),
                    Listeners(
                        progress=report,
                        found=self.tell,
                        refuted=self.tell,
                        inspecting=self._inspecting,
                        elsewhere=self.elsewhere,
                    ),
                )
        finally:
            self.is_reading = False
            self.seconds_reading = time.monotonic() - began
        if self.settings.may_be_empty:
            comparison = replace(comparison, may_be_empty=True)
            if comparison.holds_nothing:
                comparison = replace(comparison, notes=(*comparison.notes, BOTH_EMPTY))
        if self._compared is not None:
            self._compared(self, comparison)
        return sealed(comparison)

    def _inspecting(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def tell(self, one: Difference | Refutation) -> None:
        """Hand on a finding with its key, so that it can be looked up."""
        if self._found is not None:
            self._found(self.id, one, self.key_hash(one.key))

    def _in_words(self, difference: Difference) -> str:
        # A path can go through the keys of a map, and those can be data: the attribute's name only.
        names = sorted({re.split(r"[.\[:]", path)[0] for path in difference.paths})
        where = f" in {', '.join(names)}" if names else ""
        return f"{difference.state} {self.key_hash(difference.key)}{where}"

    def _load_transform(self) -> Transform:
        settings = self.settings
        transform = Transform.load(
            settings.transform, self.source.key_schema, self.target.key_schema, rekeys=settings.rekeys
        )
        if transform.function is None:
            return transform
        return replace(transform, function=self.transforming.noting(transform.function))


def shared_pass(pair: Pair) -> Comparison:
    """`Pair.comparison` for whoever judges a check, and is none."""
    return pair._comparison()  # noqa: SLF001 - it is one of us


def pass_made(pair: Pair) -> Comparison | None:
    """`Pair.compared`, likewise."""
    return pair._comparison.peek()  # noqa: SLF001


def _did(what: str) -> str:
    """What a check did instead of deciding; *what* is as `Inspected.raised` counts it."""
    if what.startswith(f"{ReturnedInsteadOfAsserted.__name__} "):
        return "returned something instead of asserting it"
    return f"raised {what}"
