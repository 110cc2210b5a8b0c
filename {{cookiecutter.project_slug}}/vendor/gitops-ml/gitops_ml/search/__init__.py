"""Searches for better settings: many trials, judged by cross-validation within the rows that train.

Comes in: `search` of params.yaml, the prepared rows, an engine. Goes out: a table of trials, and if one is better than
what params.yaml says, a branch that says it, for the same gate as any change. Used by the command line and the report.
"""
