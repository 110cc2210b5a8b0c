"""The automation: what makes a model that can be trusted out of a model that runs. `gitops-ml --help` lists it.

One folder a room, and a room imports only rooms that stand below it in `pyproject.toml` of the project.
"""
