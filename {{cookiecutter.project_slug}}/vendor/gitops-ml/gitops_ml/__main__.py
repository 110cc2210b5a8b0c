"""`python -m gitops_ml`, for where the command `gitops-ml` is not on PATH."""

from gitops_ml.launch import main

raise SystemExit(main())
