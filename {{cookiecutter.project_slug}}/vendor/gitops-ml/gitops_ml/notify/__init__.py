"""Tells what the monitor found where people and programs look: in an issue, at an address, on a branch.

`gitops-ml watch monitor` and the workflow's command use it; the fleet's page reads the branch.
"""
