"""What exists only because of GitHub: publishing a pull request's results, credentials, rulesets, the doctor.

Comes in: a workflow's event and what its other jobs handed over, which is held to its form. Goes out: a commit of
dvc.lock, one comment, one status, rulesets. Used by the hidden commands of `gitops-ml workflow` and by `gitops-ml
repo`.
"""
