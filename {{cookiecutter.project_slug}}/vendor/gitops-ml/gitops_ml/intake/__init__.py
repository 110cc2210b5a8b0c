"""Taking in a table: its types, roles, leaks and task are recognised and written down.

Comes in: a file and a target column. Goes out: `data/raw`, schema.yaml, params.yaml, the gate's rules. Used by
`gitops-ml data add`. `reading` says what each column holds; `infer.py` decides type and role, `label.py` those of the
target, `timing.py` which column tells when a row was made.
"""
