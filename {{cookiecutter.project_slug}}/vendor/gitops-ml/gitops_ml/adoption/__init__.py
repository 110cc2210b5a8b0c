"""Brings a repository that is there already into the template.

In comes what was committed there, and a version of the template; out goes a branch in which the project is laid around
their files, none of which is overwritten or moved. `gitops-ml repo adopt` uses it; updates are those of any project.
"""
