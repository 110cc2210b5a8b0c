"""Offers the Python that generates the project first, if a project can have it: whoever has that one has what it takes.

Runs in a copy of the template, before anything is asked. Where it is not run, as by cruft, the oldest is offered first.
"""

import json
import sys
from pathlib import Path

QUESTIONS = Path("cookiecutter.json")

questions = json.loads(QUESTIONS.read_text(encoding="utf-8"))
own = f"{sys.version_info.major}.{sys.version_info.minor}"
questions["python_version"].sort(key=lambda version: version != own)
QUESTIONS.write_text(json.dumps(questions, indent=2), encoding="utf-8")
