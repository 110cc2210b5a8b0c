"""Making a release, and finding one again: one signed record on a tag.

Comes in: a commit of main whose pipeline is reproduced. Goes out: the tag `release/...` with record, signature and
card; the archive in the storage; the image. Used by `gitops-ml release`, and by promotion, which only points to
releases.
"""
