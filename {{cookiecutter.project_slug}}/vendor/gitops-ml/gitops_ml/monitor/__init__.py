"""What production says of the model: drift, performance, errors, alarms, and the retraining that follows.

Comes in: what services wrote down, labels, the reference profile of the training. Goes out: a `Monitoring` with its
pages, one issue for as long as something is wrong, a proposal with a new model. Used by `gitops-ml watch` and its
workflows.
"""
