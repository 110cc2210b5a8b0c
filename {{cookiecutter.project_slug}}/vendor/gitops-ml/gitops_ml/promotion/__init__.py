"""Putting a release on an environment, rolling back, and the agent's step that has it serve.

Comes in: a release and the branch of an environment. Goes out: one commit on that branch, or the sentence of the
check in `checks.py` that refuses it; what an agent says of its health. Used by `gitops-ml env`, `host` and the
workflows.
"""
