"""Marks: what people say of releases and environments, each kind on a branch of its own.

Comes in: a release to hold, or an environment to freeze, and why. Goes out: commits of the branches `holds` and
`freezes`, and what they say now. Used by promotion, the ledger and the command line.
"""
