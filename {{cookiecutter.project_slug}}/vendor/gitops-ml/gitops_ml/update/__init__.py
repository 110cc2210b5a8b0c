"""Brings a project to a newer version of its template.

In comes what the project was made from, and a repository with the template's versions; out goes a branch with their
difference on top of main, and a pull request that says what it means. `gitops-ml repo update` uses it.
"""
