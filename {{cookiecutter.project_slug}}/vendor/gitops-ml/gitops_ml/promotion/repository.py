"""The shared repository, and the rules that its main branch sets for environments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gitops_ml.core import project, record
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage
from gitops_ml.versions import environment, forge
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.revision import Revision


@dataclass(frozen=True)
class Repository:
    """A clone that has just fetched, with main's project.yaml; that of the working tree does not count."""

    git: Git
    policy: project.Project

    @cached_property
    def storage(self) -> Storage:
        """The DVC storage that this clone's settings name."""
        return Storage(self.git.root)

    @cached_property
    def forge(self) -> forge.Forge:
        """Where promotions are proposed and merged."""
        return forge.of(self.git)

    @classmethod
    def opened(cls, root: Path) -> Repository:
        """Fetch, and read the rules.

        Raises:
            UserError: there is no `origin`, it does not answer, or its main has no valid project.yaml.
        """
        git = Git(root)
        git.fetch()
        main = git.tip(MAIN)
        if main is None:
            other = git.default_branch()
            if other is not None:
                raise UserError(
                    f"the default branch of origin is {other}, and the automation reads {MAIN}; run `git branch --move "
                    f"{other} {MAIN}` and `git push -u origin {MAIN}`, and have origin show that one"
                )
            raise UserError(f"origin has no branch {MAIN} yet; run `git push -u origin {MAIN}`")
        return cls(git, Revision(root, main).settings("project.yaml", project.Project))

    def settings(self, name: str) -> project.Environment:
        """The rules of an environment.

        Raises:
            UserError: project.yaml names no such environment.
        """
        for each in self.policy.environments:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.policy.environments)
        raise UserError(f"there is no environment {name!r}; project.yaml on {MAIN} names {names}")

    def before(self, name: str) -> project.Environment | None:
        """The environment that a release must have been healthy in before it comes to this one; None for the first."""
        self.settings(name)
        position = [each.name for each in self.policy.environments].index(name)
        return self.policy.environments[position - 1] if position else None

    def image(self, name: str) -> str:
        """The repository of the images that serve in an environment: its own, or the project's."""
        return self.settings(name).image or self.policy.image

    def tip(self, name: str) -> str:
        """The newest commit of an environment's branch.

        Raises:
            UserError: origin has no such branch.
        """
        self.settings(name)
        tip = self.git.tip(environment.branch(name))
        if tip is None:
            raise UserError(
                f"origin has no branch {environment.branch(name)}; `gitops-ml env bootstrap` creates what is missing"
            )
        return tip

    def serving(self, name: str) -> record.Release | None:
        """The release that an environment's branch names; None if none was promoted yet."""
        return environment.serving(self.git, self.tip(name))
