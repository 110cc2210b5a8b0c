"""What `service/service.py` is made of: the form of requests and answers, limits, the prediction log, the page at `/`.

Comes in: the project's schema, settings and fitted Pipeline. Goes out: pydantic forms, ASGI middleware, files of what
was answered. Used by the project's service, copied into the Bento as source, and by the trial of what was packaged;
it knows nothing of Git and needs none of the automation's packages.
"""
