"""What a check asks for is made when the first one asks, and once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ddbverify.errors import DdbVerifyError

_T = TypeVar("_T")


class Once(Generic[_T]):
    """A value made on the first call and kept; an expected error is kept in the same way."""

    def __init__(self, make: Callable[[], _T]) -> None:
        """Nothing is made yet."""
        self._make = make
        self._made: list[_T] = []
        self.error: DdbVerifyError | None = None

    def __call__(self) -> _T:
        """The value. Raises what making it has raised."""
        if self.error is not None:
            raise self.error.with_traceback(None)  # else it grows with every check that gets it
        if not self._made:
            try:
                self._made.append(self._make())
            except DdbVerifyError as error:
                self.error = error
                raise
        return self._made[0]

    def peek(self) -> _T | None:
        """The value if it has been made, without making it."""
        return self._made[0] if self._made else None
