"""What services wrote down: bringing it to one place, keeping it, joining it with labels, and erasing from it.

Comes in: the logs of services, labels. Goes out: tables of answers and requests. Used by `gitops-ml watch`.
"""
