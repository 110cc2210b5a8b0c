"""The one error that the command line shows as a sentence, and how those of the system become one."""

from __future__ import annotations


class UserError(Exception):
    """Something that the person at the command line can mend; the message says how."""


def said(error: Exception) -> str:
    """What an error says: of one of the system its own words, and about which file."""
    if not isinstance(error, OSError):
        return str(error)
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error or type(error).__name__}{where}"
