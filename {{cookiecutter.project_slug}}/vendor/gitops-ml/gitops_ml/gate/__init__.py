"""Whether a model may replace the one that serves.

Comes in: two revisions, the rules of project.yaml. Goes out: a `Result`: verdict, rules, differences with intervals.
Used by `gitops-ml model gate`, the report, a release and each promotion into an environment that asks for it.
"""
