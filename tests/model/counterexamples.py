"""
For each rule of `tests.model.rules` a short history in which the product without it breaks a promise.

``python -m tests.model.search --record`` puts what it finds in place of these.
"""

from __future__ import annotations

from tests.model.actors import Fate
from tests.model.fifo_queue import Call
from tests.model.order_model import Move

__all__ = ["FOUND", "Call", "Fate"]

FOUND: dict[str, list[Move]] = {
    "the ledger": [
        ("begin", {"stage": "live", "groups": 1, "full_bytes": 150}),
        ("write", {"key": "a"}),
        ("write", {"key": "a"}),
        ("forward", {}),
        ("bury", {"at": 0}),
        ("receive", {}),
        ("redrive", {}),
    ],
    "an entry survives the delete": [
        ("begin", {"stage": "live", "groups": 1}),
        ("write", {"key": "a"}),
        ("forward", {}),
        ("write", {"key": "a", "flaw": "gone"}),
        ("flow", {}),
        ("wait", {"seconds": 301.0}),
        ("forward_again", {"start": 0, "count": 1}),
    ],
    "the last change of a key wins": [
        ("begin", {"stage": "live", "groups": 1, "full_bytes": 150}),
        ("write", {"key": "a"}),
        ("write", {"key": "a"}),
        ("forward", {}),
        ("bury", {"at": 0}),
        ("redrive", {}),
    ],
    "stop at the first failure": [
        ("begin", {"stage": "live", "groups": 1, "full_bytes": 150}),
        ("write", {"key": "a"}),
        ("write", {"key": "a"}),
        ("forward", {"script": [Call.REFUSED]}),
        ("receive", {}),
    ],
    "report the first failure": [
        ("begin", {"stage": "live", "groups": 1, "full_bytes": 150}),
        ("write", {"key": "a"}),
        ("write", {"key": "c"}),
        ("forward", {"script": [Call.REFUSED, Call.REFUSED, Call.REFUSED]}),
    ],
    "a deduplication id has the key": [
        ("begin", {"stage": "live", "groups": 1}),
        ("write", {"key": "a"}),
        ("reshard", {"slot": 0, "splits": True}),
        ("write", {"key": "a"}),
        ("write", {"key": "c"}),
        ("forward", {"shard": 0}),
        ("forward", {"shard": 0}),
        ("forward", {"shard": 1}),
    ],
    "the overlap": [
        ("begin", {"stage": "stream", "groups": 1, "head_start": 100.0}),
        ("write", {"key": "a"}),
        ("wait", {"seconds": 1.0}),
        ("backup", {}),
        ("restore", {"choices": (0, 0, 0)}),
    ],
    "wait before the first backup": [
        ("begin", {"stage": "stream", "before": [("a", ("x",))]}),
        ("backup", {}),
        ("restore", {"choices": (0, 0, 0)}),
    ],
    "wait before a restart's backup": [
        ("begin", {"stage": "live", "groups": 1}),
        ("write", {"key": "a"}),
        ("flow", {}),
        ("restart", {"choices": (0, 0, 0), "rarely": 0}),
    ],
    "drop before the boundary": [
        ("begin", {"stage": "live", "groups": 1}),
        ("pause", {"paused": True}),
        ("write", {"key": "a"}),
        ("forward", {}),
        ("write", {"key": "a"}),
        ("day", {"audited": True, "rarely": 0}),
        ("restart", {"choices": (0, 0, 0), "rarely": 0}),
    ],
    "drop only without an entry": [
        ("begin", {"stage": "stream", "groups": 1, "overlap": 90.0, "head_start": 100.0}),
        ("write", {"key": "a"}),
        ("write", {"key": "a", "skew": 29.0}),
        ("wait", {"seconds": 61.0}),
        ("wait", {"seconds": 1.0}),
        ("backup", {}),
        ("restore", {"choices": (2, 0, 0)}),
        ("load", {}),
        ("forward", {"limit": 1}),
        ("receive", {}),
        ("forward", {"limit": 1}),
        ("receive", {}),
    ],
    "load re-keying pairs by transaction": [
        ("begin", {"shape": 2, "before": [("a", ("x",))], "stage": "live", "groups": 1}),
        ("write", {"key": "a", "to": ("y",)}),
    ],
    "the loader's lease": [
        (
            "begin",
            {"shape": 1, "stage": "restored", "before": [("a", ("x",))], "groups": 1, "kind": "backup"},
        ),
        ("load", {"steps": 11}),
        ("wait", {"seconds": 61.0}),
        ("load", {}),
        ("write", {"key": "a", "flaw": "gone"}),
        ("flow", {}),
    ],
    "a new ledger per restart": [
        ("begin", {"shape": 2, "stage": "live", "groups": 1}),
        ("write", {"key": "a", "to": ("x",)}),
        ("flow", {}),
        ("restart", {"choices": (1, 1, 1), "rarely": 0}),
    ],
    "the owner check": [
        ("begin", {"shape": 2, "stage": "live", "groups": 1}),
        ("write", {"key": "a", "to": ("x",)}),
        ("write", {"key": "b", "to": ("x",)}),
        ("flow", {}),
        ("write", {"key": "b", "to": ()}),
        ("flow", {}),
    ],
    "quarantine before release": [
        ("begin", {"shape": 2, "stage": "live", "groups": 1}),
        ("write", {"key": "a", "to": ("x",)}),
        ("flow", {}),
        ("write", {"key": "b", "to": ("x",)}),
        ("forward", {}),
        ("receive", {"steps": 0}),
        ("go_on", {"steps": 2, "fate": Fate.KILLED_AFTER}),
    ],
    "the entry is as it was read": [
        ("begin", {"shape": 2, "stage": "live", "groups": 1}),
        ("write", {"key": "a", "to": ("x",)}),
        ("forward", {}),
        ("receive", {"steps": 1}),
        ("expire", {"worker": "w1"}),
        ("write", {"key": "a", "to": ("y",)}),
        ("forward", {}),
        ("receive", {"worker": "w2"}),
    ],
    "hand back what failed": [
        ("begin", {"stage": "live", "groups": 1}),
        ("write", {"key": "a"}),
        ("forward", {}),
        ("receive", {"steps": 0}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
        ("go_on", {"steps": 0, "fate": Fate.REFUSED}),
    ],
    "each unit is judged by itself": [
        ("begin", {"stage": "live", "groups": 1}),
        ("write", {"key": "a"}),
        ("flow", {}),
        ("write", {"key": "a"}),
        ("forward", {}),
        ("write", {"key": "c"}),
        ("forward", {}),
        ("bury", {"at": 0}),
        ("write", {"key": "a"}),
        ("flow", {}),
        ("write", {"key": "c"}),
        ("forward", {}),
        ("redrive", {}),
    ],
    "poison is put aside": [
        ("begin", {"shape": 1, "stage": "live", "groups": 1}),
        ("write", {"key": "a", "flaw": "bad"}),
        ("flow", {}),
    ],
}
