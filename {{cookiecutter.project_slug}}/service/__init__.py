"""The BentoML service: it serves the very object that the pipeline fitted."""
