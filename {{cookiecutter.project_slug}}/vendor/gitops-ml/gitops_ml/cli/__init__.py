"""The command line: one module for each noun of `gitops-ml NOUN VERB`, loaded only when it is asked for.

Comes in: words and options. Goes out: what the other rooms say, as sentences or as JSON, and an exit code. `main.py`
has the tree of commands; what only workflows call is in `workflow.py` and hidden.
"""
