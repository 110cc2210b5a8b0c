"""CODEOWNERS is read as GitHub documents it."""

from __future__ import annotations

import pytest
from gitops_ml.report import owners

# From GitHub's documentation of the file, with what it says of each line.
DOCUMENTED = r"""
# This is a comment.
*       @global-owner1 @global-owner2
*.js    @js-owner #This is an inline comment.
*.go docs@example.com
/build/logs/ @doctocat
docs/* docs@example.com
apps/ @octocat
/docs/ @doctocat
/scripts/ @doctocat @octocat
**/logs @octo
/apps/ @octocat
/apps/github
/with\ blank.md @blank
!not @nobody
"""


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("README.md", ["@global-owner1", "@global-owner2"]),
        ("x/y/a.js", ["@js-owner"]),
        ("a.go", ["docs@example.com"]),
        ("build/logs/x/y.txt", ["@octo"]),
        ("docs/a.md", ["@doctocat"]),
        ("docs/deep/a.md", ["@doctocat"]),
        ("more/docs/a.md", ["@global-owner1", "@global-owner2"]),
        ("any/apps/x", ["@octocat"]),
        ("apps/x", ["@octocat"]),
        ("apps/github", []),
        ("apps/github/x", []),
        ("deeply/nested/logs/x", ["@octo"]),
        ("scripts/x", ["@doctocat", "@octocat"]),
        ("with blank.md", ["@blank"]),
    ],
)
def test_the_last_pattern_that_fits_names_the_owners(path: str, names: list[str]) -> None:
    """Folders, names anywhere, wildcards, and patterns that name nobody."""
    assert owners.of(owners.parse(DOCUMENTED), path) == names


def test_a_star_below_a_folder_means_its_own_files() -> None:
    """`docs/*` fits a file of the folder, and none of the folders in it."""
    rules = owners.parse("docs/* @docs\n")
    assert (owners.of(rules, "docs/a.md"), owners.of(rules, "docs/build/a.md")) == (["@docs"], [])


def test_without_a_file_nobody_owns_anything() -> None:
    """No CODEOWNERS, or an empty one, names nobody."""
    assert owners.of(owners.parse(""), "a") == []
