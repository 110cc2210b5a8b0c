"""A part of `make study`: many requests that nobody sane would send, to a served project.

Schemathesis, in an environment of its own, makes them of the service's OpenAPI document; ours are each sent by the
short way through the server, by the long one, and on a connection that has just had an answer.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from pyarrow import parquet

from ci.serving import APRIL, feature_names, served
from ci.steps import Steps
from tests.both_ways import differing

TOOL = ("uv", "tool", "run", "--from", "schemathesis==4.32.0", "schemathesis", "run")
# BentoML writes the document: it does not say that a body must be there, nor the form of what a refusal says.
UNTOLD = "response_schema_conformance,positive_data_acceptance"
SEED = 20261127
ROWS = 1000
# For each route in one run; far more of them make no more requests.
EXAMPLES = 2000
RUNS = 20


def table(project: Path, count: int, folder: Path) -> str:
    """How many requests there were of each kind, and how many were not answered as they must be.

    Raises:
        AssertionError: one was not; the message has the request.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with served(project, folder / "serve.log", Steps(), folder / "predictions") as url:
        wanted = feature_names(url)
        rows = parquet.read_table(APRIL, columns=wanted).slice(0, ROWS).to_pylist()
        host, _, port = url.removeprefix("http://").partition(":")
        accepted, found = differing((host, int(port)), rows, count, SEED)
        assert not found, found[0]
        generated = _made_of_the_document(url, count, folder)
    return (
        "| requests | sent | answered with 200 | not as they must be |\n|---|---:|---:|---:|\n"
        f"| ours, by each way | {count:,} | {accepted:,} | 0 |\n"
        f"| of the document, by Schemathesis | {generated:,} | | 0 |"
    )


def _made_of_the_document(url: str, count: int, folder: Path) -> int:
    """How many requests Schemathesis made, at least `count`: no 5xx, nothing invalid accepted, no form unheard of."""
    report, made = folder / "schemathesis.json", 0
    # By some seeds it makes a few hundred only.
    for seed in range(SEED, SEED + RUNS):
        options = ("--max-examples", str(EXAMPLES), "--seed", str(seed), "--exclude-checks", UNTOLD)
        where = ("--url", url, "--report", "json", "--report-json-path", str(report))
        done = subprocess.run(
            [*TOOL, f"{url}/docs.json", *options, *where], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:]
        made += json.loads(report.read_text())["test_cases"]["generated"]
        if made >= count:
            return made
    raise AssertionError(f"only {made} requests were made")
