"""The front of a host: a small process with the public port, which hands each request to the release that answers it.

Comes in: connections, and active.json of the agent's folder. Goes out: answers, none lost when a release is replaced;
in a rollout, copies and shares of the requests to the new one. Started and found by `host/port.py`.
"""
