"""Many projects on one page: what serves where, since when, on which verdict, and what asks for somebody.

Comes in: a list of repositories, of which Git alone is asked. Goes out: a `Fleet` as JSON, and an HTML file that needs
no network. Nothing is changed or checked out. Used by `gitops-ml fleet`, which runs anywhere, so nothing here may
import a project's own packages.
"""
