"""One command's view of a migration: settings, clients, state, and what the tables are."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ddbverify.code import shadows
from ddbverify.config import Config, Pair, Side
from ddbverify.errors import ConfigurationError, NotFoundError, Refused
from ddbverify.items.transform import Transform
from ddbverify.names import Fact, KeySchema, pair_pk, state_table
from ddbverify.tables import aws, table
from replicator.context import references, tables
from replicator.context.console import Console
from replicator.context.lock import Borrowed, Lock
from replicator.context.tables import TableFacts
from replicator.handlers.state import State

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient

    from ddbverify.tables.services import ClientOf, ServiceName


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the operator is: an emulator answers at once, AWS takes its time."""

    poll_seconds: float
    young_seconds: float  # an unapplied change younger than this is under way, not lost
    function_timeout: int
    visibility_timeout: int
    batching_window: int
    fence_margin: float  # before its own end, by which a fence has to be fastened: changes hold later
    fence_lead: float  # before its beginning, by which a fence in a policy is put
    fence_spread: float  # of that, what has to be left when AWS has taken it: it holds everywhere by then

    @classmethod
    def of(cls, *, emulator: bool) -> Pace:
        """The pace against an emulator, or against AWS."""
        if emulator:
            return cls(
                0.2,
                2.0,
                function_timeout=20,
                visibility_timeout=20,
                batching_window=0,
                fence_margin=2.0,
                fence_lead=1.0,
                fence_spread=0.0,
            )
        return cls(
            5.0,
            60.0,
            function_timeout=60,
            visibility_timeout=360,
            batching_window=1,
            fence_margin=30.0,
            fence_lead=90.0,
            fence_spread=60.0,
        )


class Shared:
    """
    What the directions of one migration share, in one command.

    Args:
        lease: What the command holds of the migration.
        called_off: Whether its threads are to end.
        by_others: Whether the command takes the stacks that others have deployed.
        turned: The directions that it has met, by their numbers.
    """

    def __init__(self) -> None:
        self.lease: Lock | Borrowed | None = None
        self.called_off = threading.Event()
        self.by_others = False
        self.turned: dict[int, Context] = {}


class Context:
    """
    Everything a command of the replicator works with.

    Clients are made when first used, so that a command that needs no AWS asks for none. They are this
    command's own: as long as it holds the migration's *lease*, none of their requests leaves without it.
    """

    def __init__(
        self,
        config: Config,
        console: Console,
        config_path: Path,
        *,
        root: Context | None = None,
        cycle: int = 0,
    ) -> None:
        self.config = config
        self.config_path = config_path
        self.console = console
        self.root, self.cycle = root or self, cycle  # of a direction: the migration it belongs to, its number
        self.shared: Shared = root.shared if root else Shared()
        self._clients: dict[tuple[Side, ServiceName], BaseClient] = {}
        self.one_load = threading.Lock()  # a load takes all cores, and has to itself what the target takes
        self._making = threading.Lock()
        self.source_side = _with_region_of_arns(config, config.source, "source")
        self.target_side = _with_region_of_arns(config, config.target, "target")
        shadows.put_on_path(str(config.folder))  # the transform's module lies beside migration.toml

    def turned(self, cycle: int) -> Context:
        """One direction of the migration, as if it were a migration of its own; under the same lease."""
        if cycle == 0:
            return self.root
        made = self.shared.turned
        if cycle not in made:
            config = self.root.config.turned(cycle)
            made[cycle] = Context(config, self.console, self.config_path, root=self.root, cycle=cycle)
        return made[cycle]

    @property
    def flips_with(self) -> str:
        """The command that moves the application along this direction."""
        return "cutback" if self.cycle % 2 else "cutover"

    @property
    def lease(self) -> Lock | Borrowed | None:
        """What the command holds of the migration."""
        return self.shared.lease

    @lease.setter
    def lease(self, lease: Lock | Borrowed | None) -> None:
        self.shared.lease = lease

    # --- clients --------------------------------------------------------------------------

    @property
    def source(self) -> DynamoDBClient:
        """DynamoDB, in the source's account and region."""
        return self.source_client("dynamodb")

    @property
    def target(self) -> DynamoDBClient:
        """DynamoDB, in the target's account and region."""
        return self.target_client("dynamodb")

    @property
    def source_client(self) -> ClientOf:
        """Gives a service's client in the source's account and region."""
        return cast("ClientOf", functools.partial(self._client, self.source_side))

    @property
    def target_client(self) -> ClientOf:
        """Gives a service's client in the target's account and region."""
        return cast("ClientOf", functools.partial(self._client, self.target_side))

    def _client(self, side: Side, service: ServiceName) -> BaseClient:
        with self._making:
            if (side, service) not in self._clients:
                self._clients[side, service] = self.own_client(side, service)
            return self._clients[side, service]

    def own_client(self, side: Side, service: ServiceName, *, core: Session | None = None) -> Any:
        """
        A client that nobody else has, for whoever changes its events; it needs the lease like all.

        Args:
            core: A botocore session with components of its own.
        """
        made = aws.client(side, service, core=core, shared=False)
        # Before each attempt, not each call: botocore sends again what it had no answer to.
        made.meta.events.register("before-send", self._need_lease)
        return made

    def call_off(self) -> None:
        """End what this command's threads are at: from here on none of its requests leaves."""
        self.shared.called_off.set()

    def need_going_on(self) -> None:
        """
        To be asked by what waits without asking AWS.

        Raises:
            KeyboardInterrupt: The command was called off, which is what Ctrl-C means to a thread of it.
        """
        if self.shared.called_off.is_set():
            raise KeyboardInterrupt

    def _need_lease(self, **_: Any) -> None:
        self.need_going_on()
        if self.lease is not None:
            self.lease.check()

    @contextmanager
    def locked(self, command: str) -> Iterator[Lock]:
        """The migration's lease, for the length of a block; none of our requests leaves without it."""
        # A client that asks for no lease: it is what the lease is taken and renewed with.
        root = self.root
        client = aws.client(root.source_side, "dynamodb")
        lock = Lock(client, root.state_table, command, root.server_time)
        with lock.held(self.console.warn):
            self.lease = lock
            try:
                yield lock
            finally:
                self.lease = None

    @cached_property
    def source_identity(self) -> str:
        """ARN of the identity whose credentials the source's side has."""
        return references.identity_of(self.source_client("sts"), "source")

    @cached_property
    def target_identity(self) -> str:
        """ARN of the identity whose credentials the target's side has."""
        return references.identity_of(self.target_client("sts"), "target")

    @cached_property
    def emulator(self) -> bool:
        """Whether the source is an emulator's: shorter waits are allowed there."""
        return aws.is_emulator(self.source)

    @cached_property
    def pace(self) -> Pace:
        """How patient to be."""
        return Pace.of(emulator=self.emulator)

    def server_time(self) -> float:
        """
        DynamoDB's own clock, in seconds since the epoch, to the second.

        Records and backups are dated by it; this machine's clock may be off by minutes.

        Raises:
            EngineError: There is no answer, or none with a date.
        """
        # Of a request that AWS answers as often as the lease is renewed, and not by a client of the lease.
        return table.server_time(self.source_side, self.config.tables[0].source)

    # --- state ----------------------------------------------------------------------------

    @property
    def state_table(self) -> str:
        """Name of the state table."""
        return state_table(self.config.name)

    @cached_property
    def whole(self) -> State:
        """Facts of the whole migration."""
        return State.whole(self.source, self.state_table)

    def state(self, pair: Pair) -> State:
        """Facts of one pair."""
        return State.of_pair(self.source, self.state_table, pair.id)

    def need_own_tables(self) -> None:
        """
        Refuse tables, and a pointer, that the settings name by ARN and that these credentials do not reach.

        Raises:
            ConfigurationError: With the ARN, and with the account, region or partition that differs.
        """
        # Nobody is asked where all tables go by name: those are of whoever asks.
        if arns := references.named_by_arn(self.config, "source"):
            references.require_own(arns, "source", self.source_identity, self.source.meta.region_name)
        if arns := references.named_by_arn(self.config, "target"):
            references.require_own(arns, "target", self.target_identity, self.target.meta.region_name)
        pointer = self.config.cutover.pointer
        if references.names_arn(pointer):
            references.require_own_pointer(pointer, self.source_identity, self.source.meta.region_name)

    def begun(self) -> bool:
        """
        Whether the state table exists: `replicator up` has begun and `down` has not ended.

        Every command asks this before all else, so it asks first whose tables these are.

        Raises:
            ConfigurationError: As `need_own_tables`.
        """
        self.need_own_tables()
        return tables.find(self.source, self.state_table) is not None

    def pairs_begun(self) -> set[str]:
        """Ids of the pairs that the state table knows of, whether or not the settings still name them."""
        pages = self.source.get_paginator("scan").paginate(
            TableName=self.state_table, ConsistentRead=True, ProjectionExpression="pk"
        )
        with aws.translated(f"read the state table {self.state_table}"):
            keys = {item["pk"]["S"] for page in pages for item in page["Items"]}
        return {key.removeprefix(pair_pk("")) for key in keys if key.startswith(pair_pk(""))}

    def need_begun(self) -> None:
        """
        Refuse a command that comes too early.

        Raises:
            Refused: There is no state table.
        """
        if not self.begun():
            raise Refused(
                f"The migration {self.config.name} has not begun, or has ended: there is no table "
                f"{self.state_table}.",
                "run `replicator up` first, or check `name` and [source] region in migration.toml.",
            )

    # --- tables ---------------------------------------------------------------------------

    def source_table(self, pair: Pair) -> TableFacts:
        """
        The pair's source.

        Raises:
            ConfigurationError: There is no such table.
        """
        try:
            return tables.describe(self.source, pair.source)
        except NotFoundError as error:
            raise ConfigurationError(
                f"[[tables]] source = {pair.source!r}: there is no such table in "
                f"{self.source.meta.region_name}.",
                "mend `source`, or [source] region and profile.",
            ) from error

    def target_table(self, pair: Pair) -> TableFacts | None:
        """The pair's target, ``None`` as long as it does not exist."""
        return tables.find(self.target, pair.target)

    def transform(self, pair: Pair, source_keys: KeySchema, target_keys: KeySchema) -> Transform:
        """
        The pair's transform, the identity where it has none.

        Raises:
            ConfigurationError: It does not load.
        """
        return Transform.load(pair.transform, source_keys, target_keys, rekeys=pair.rekeys)

    def resources(self, pair: Pair) -> dict[str, Any]:
        """Names of what the stacks made for a pair; empty before phase 1."""
        return self.state(pair).get(Fact.RESOURCES) or {}

    def restart_number(self, pair: Pair) -> int:
        """How often the pair was started anew; of a restart under way the new number."""
        state = self.state(pair)
        fact = state.get(Fact.RESTARTING) or state.get(Fact.RESTART) or {}
        return int(fact.get("number", 0))

    def need_no_restart(self) -> None:
        """
        Refuse a command that would work on a pair which is being started anew.

        Raises:
            Refused: A restart has begun and not ended.
        """
        for pair in self.config.tables:
            if self.state(pair).get(Fact.RESTARTING) is not None:
                raise Refused(
                    f"A restart of {pair} is under way.",
                    "run `replicator restart` again: it goes on where it stopped.",
                )


def _with_region_of_arns(config: Config, side: Side, which: str) -> Side:
    regions = {
        getattr(pair, which).split(":")[3]
        for pair in config.tables
        if getattr(pair, which).startswith("arn:")
    }
    if len(regions) > 1:
        raise ConfigurationError(
            f"[[tables]]: the {which} ARNs are of several regions ({', '.join(sorted(regions))}).",
            "one migration moves tables from one region to one region: use a migration.toml for each.",
        )
    if not regions or side.region:
        return side
    return Side(region=regions.pop(), profile=side.profile, endpoint_url=side.endpoint_url)
