"""How environments stand, and how they came there: status, ledger, and the page of both.

Comes in: the branches of the environments, holds, proposals, what agents say. Goes out: JSON, an HTML file that needs
no network. Nothing is changed. Used by `gitops-ml env status` and `env ledger`.
"""
