"""The one error that the command line shows as a sentence."""


class UserError(Exception):
    """Something that the person at the command line can mend; the message says how."""
