"""
For each rule of `tests.model.flips.rules` a short history in which the product without it breaks a promise.

``python -m tests.model.search --record --rule NAME`` puts what it finds in the place of one.
"""

from __future__ import annotations

from tests.model.actors import Fate
from tests.model.fifo_queue import Call
from tests.model.order_model import Move

__all__ = ["FOUND", "Call", "Fate"]

FOUND: dict[str, list[Move]] = {
    "every switch-on asks which table is live": [
        ("begin", {"stage": "flipped"}),
        ("strange", {"side": "source", "key": "a"}),
        ("run", {"command": "resume", "operator": "other"}),
        ("write", {"side": "target", "key": "a"}),
        ("flow", {}),
    ],
    "a consumer is shut before the flip": [
        ("begin", {"stage": "flipped"}),
        ("strange", {"side": "source", "key": "a"}),
        ("flow", {}),
        ("write", {"side": "target", "key": "a"}),
        ("receive", {"late": True}),
    ],
    "what the other side wrote is dropped": [
        ("begin", {"shape": "inverse"}),
        ("run", {"command": "cutover"}),
    ],
    "a boundary has a margin": [
        ("begin", {"shape": "inverse", "skew": (0.0, 0.9)}),
        ("start", {"command": "cutover", "until": "sleep", "more": 96}),
        ("write", {"side": "source", "key": "c"}),
    ],
    "the boundary is fixed under the fence": [
        ("begin", {"shape": "inverse"}),
        ("start", {"command": "cutover", "until": "put_resource_policy"}),
        ("write", {"side": "source", "key": "a"}),
        ("write", {"side": "source", "key": "c"}),
    ],
    "the boundary is behind the follower's last change": [
        ("begin", {"shape": "inverse"}),
        ("write", {"side": "source", "key": "c"}),
        ("forward", {}),
        ("receive", {"steps": 1}),
        ("run", {"command": "cutover"}),
    ],
    "each direction has its own ledger": [
        ("begin", {}),
        ("write", {"side": "source", "key": "b"}),
        ("run", {"command": "cutover"}),
        ("write", {"side": "target", "key": "b"}),
    ],
    "what came anew has no before": [
        ("begin", {"shape": "inverse"}),
        ("run", {"command": "cutover"}),
        ("write", {"side": "target", "key": "a", "kind": "gone"}),
        ("write", {"side": "target", "key": "a"}),
    ],
    "what the transform leaves out is nobody's": [
        ("begin", {"shape": "inverse", "hidden": True}),
        ("run", {"command": "cutover"}),
        ("write", {"side": "target", "key": "b"}),
    ],
    "the first law is asked of each item": [
        ("begin", {"shape": "inverse"}),
        ("run", {"command": "cutover"}),
        ("write", {"side": "target", "key": "a", "kind": "hidden"}),
    ],
    "who has lost the lease takes nothing back": [
        ("begin", {}),
        ("start", {"command": "cutover", "operator": "other", "until": "put_resource_policy"}),
        ("run", {"command": "cutover", "operator": "one"}),
    ],
    "a fence is fastened before the flip": [
        ("begin", {}),
        ("run", {"command": "cutover"}),
        ("wait", {"seconds": 901.0}),
    ],
    "a link reads the streams of both tables": [
        ("begin", {}),
        ("strange", {"side": "target", "key": "c"}),
        ("run", {"command": "cutover"}),
    ],
    "ends are proven by markers": [
        ("begin", {}),
        ("strange", {"side": "target", "key": "c"}),
        ("run", {"command": "cutover"}),
        ("write", {"side": "source", "key": "c"}),
        ("write", {"side": "source", "key": "a", "readable": 30.0}),
        ("run", {"command": "cutover"}),
    ],
    "a place that is too old is a gap": [
        ("begin", {}),
        ("strange", {"side": "target", "key": "a"}),
        ("day", {}),
        ("run", {"command": "cutover"}),
    ],
    "what is past its time may stand alone": [
        ("begin", {"ttl_records": False}),
        ("write", {"side": "source", "key": "a", "kind": "mortal"}),
        ("start", {"command": "cutover", "until": "put_item:boundary"}),
        ("expire", {"side": "target", "key": "a"}),
    ],
    "what time to live removes is replicated": [
        ("begin", {}),
        ("write", {"side": "source", "key": "a", "kind": "mortal"}),
        ("wait", {"seconds": 16.0}),
        ("expire", {"side": "source", "key": "a"}),
    ],
    "time to live is nobody who writes": [
        ("begin", {}),
        ("write", {"side": "source", "key": "a", "kind": "mortal"}),
        ("start", {"command": "cutover", "until": "put_item:boundary"}),
        ("expire", {"side": "target", "key": "a"}),
    ],
}
