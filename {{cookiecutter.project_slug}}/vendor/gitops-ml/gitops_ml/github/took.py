"""What the jobs of a workflow's run took, beside its last runs that succeeded, as GitHub's API says it.

Names of jobs are those of the change's own workflow file, and so anybody's text.
"""

from __future__ import annotations

import statistics

from pydantic import AwareDatetime, BaseModel

from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.report.cost import Cost, Job, Usual
from gitops_ml.versions import forge

# Whose runs are compared: all are of pull requests into main.
WORKFLOW = "pull-request.yml"
RUNS = 10
# The most that GitHub gives at once.
JOBS = 100
# A job that takes longer has times that are none; GitHub ends one after some days.
LONGEST = 1e7


class _Job(BaseModel):
    name: str
    conclusion: str | None
    started_at: AwareDatetime
    completed_at: AwareDatetime | None

    @property
    def seconds(self) -> float | None:
        """None of a job that still runs, as the one that asks does, or that was skipped."""
        if self.completed_at is None or self.conclusion in {None, "skipped"}:
            return None
        took = (self.completed_at - self.started_at).total_seconds()
        return took if 0 <= took <= LONGEST else None


class _Jobs(BaseModel):
    total_count: int
    jobs: list[_Job]


class _Run(BaseModel):
    id: int


class _Runs(BaseModel):
    workflow_runs: list[_Run]


def add(hub: forge.GitHub, cost: Cost) -> None:
    """Add to what a run cost what its jobs took; what cannot be known is said."""
    cost.jobs, cost.jobs_unknown = [], ""
    run = actions.run_id()
    if run is None:
        cost.jobs_unknown = "What the jobs took is not known: this is no run of a workflow"
        return
    try:
        found = _jobs(hub, run)
    except UserError as error:
        cost.jobs_unknown = f"What the jobs took is not known: {error}"
        return
    unknown, earlier = [], {}
    if found.total_count > len(found.jobs):
        unknown.append(f"GitHub counts {found.total_count:,} jobs, of which it gave {len(found.jobs)}")
    try:
        earlier = _earlier(hub, run)
    except UserError as error:
        unknown.append(f"What the jobs took in earlier runs is not known: {error}")
    cost.jobs_unknown = "; ".join(unknown)
    cost.jobs = [
        Job(name=job.name, conclusion=job.conclusion or "", seconds=job.seconds, usual=_usual(earlier.get(job.name)))
        for job in found.jobs
        if job.seconds is not None
    ]


def _earlier(hub: forge.GitHub, run: int) -> dict[str, list[float]]:
    """What each job took in the last runs, by its name, where it succeeded."""
    asked = {"status": "success", "per_page": str(RUNS), "exclude_pull_requests": "true"}
    runs = hub.held(_Runs, "GET", f"actions/workflows/{WORKFLOW}/runs", params=asked).workflow_runs
    took: dict[str, list[float]] = {}
    for each in runs:
        for job in _jobs(hub, each.id).jobs if each.id != run else []:
            if job.conclusion == "success" and job.seconds is not None:
                took.setdefault(job.name, []).append(job.seconds)
    return took


def _jobs(hub: forge.GitHub, run: int) -> _Jobs:
    return hub.held(_Jobs, "GET", f"actions/runs/{run}/jobs", params={"filter": "latest", "per_page": str(JOBS)})


def _usual(took: list[float] | None) -> Usual | None:
    return Usual(runs=len(took), median=statistics.median(took), low=min(took), high=max(took)) if took else None
