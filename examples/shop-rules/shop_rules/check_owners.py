"""Checks that come with the plugin; they run beside the user's own."""

from __future__ import annotations

from ddbverify import each_item


@each_item
def check_every_order_has_an_owner(source, target):
    assert source.get("owner")
    assert target.get("owner")
