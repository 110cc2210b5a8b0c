"""The Bento and its image: what is packed, built, pushed, signed and described.

Comes in: the model that dvc.lock names, the service, the packages' export. Goes out: a Bento, an image known by its
digest, its signature, provenance and bill of materials. Used by the trial, releases and promotion.
"""
