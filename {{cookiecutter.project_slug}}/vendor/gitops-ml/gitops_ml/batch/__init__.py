"""Scoring many rows with one release, on the engine that project.yaml names.

Comes in: files, folders or buckets of rows, and a verified release. Goes out: a Parquet file for each input, what does
not fit the schema beside it, and a manifest. `run.py` is the command's; `look.py`, `score.py` and `join.py` are the
tasks that workers do, each a pure function that leaves a whole file or none.
"""
