"""One machine on which releases serve: a front with the public port, and instances behind it.

Comes in: a verified release and the rules of its environment. Goes out: a port that answers, without losing a
request. Used by the agent's step in `deployment/deploy.py`, and by the trial of what was packaged.
"""
