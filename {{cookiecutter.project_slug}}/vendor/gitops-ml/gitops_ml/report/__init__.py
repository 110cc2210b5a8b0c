"""What people read about a change and a model: report, model card.

Comes in: Git, DVC's results, the gate's result. Goes out: JSON, Markdown for a comment, HTML files that need no
network. Used by `gitops-ml model report` and `card`, by releases, and by `publish` on GitHub.
"""
