"""Forwards `python -m ci`, as units of version 0.1 say it, to `gitops-ml`; `gitops-ml repo doctor` names them."""

import sys
from pathlib import Path

NOUNS = {"deploy": "host", "stop": "host", "predictions": "watch", "monitor": "watch"}

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vendor/gitops-ml"))
from gitops_ml.launch import main  # noqa: E402 - it is found only now

sys.argv[1:2] = [word for each in sys.argv[1:2] for word in (NOUNS.get(each, ""), each) if word]
raise SystemExit(main())
