"""What happens once the branch of an environment says so: the agent's step, a rollout's stages, the next environment.

Comes in: an environment's branch and a host. Goes out: a release that serves, or why it does not; what is proposed
next. Used by `gitops-ml host`, and by the workflows that go on from one environment to the next.
"""
