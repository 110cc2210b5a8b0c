"""Taking in a table: its types, roles, leaks and task are recognised and written down.

Comes in: a CSV, Parquet or JSON Lines file and a target column. Goes out: `data/raw`, schema.yaml, params.yaml, the
gate's rules. Used by `gitops-ml data add`; `columns.py` tells how a column is written, `infer.py` decides its type
and role, `label.py` those of the target.
"""
