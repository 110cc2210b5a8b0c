"""Taking in a table: its types, roles, leaks and task are recognised and written down.

Comes in: a CSV, Parquet or JSON file and a target column. Goes out: `data/raw`, schema.yaml, params.yaml, the
gate's rules. Used by `gitops-ml data add`. A first pass gathers what each column holds (`columns.py`, with a module for
each question: `missing.py`, `amounts.py`, `dates.py`), `decide.py` says how it is written and `guesses.py` what of that
was a guess; `later.py` reads by the schema instead. `infer.py` decides type and role, `label.py` those of the target.
"""
