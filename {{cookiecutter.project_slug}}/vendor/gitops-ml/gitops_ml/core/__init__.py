"""What every room stands on: errors, other programs, Git, DVC's lock, settings, records, signatures, the storage.

Comes in: the folder of a clone. Goes out: files of any revision, forms that were checked, commits and pushes. Used by
all rooms; it uses only the forms of `pipeline` and `gitops_serving`.
"""
