"""What the fast form does not know, of a Pipeline or of a row, it leaves to the next slower one."""

from __future__ import annotations


class UnknownError(Exception):
    """A part of the Pipeline has no fast form."""


class BeyondError(Exception):
    """One row has no fast answer; the Pipeline answers it, or says why it cannot."""


def require(holds: object, what: str) -> None:
    """Raises UnknownError, with what it is that is not known, unless something holds."""
    if not holds:
        raise UnknownError(what)
