"""The automation: what makes a model that can be trusted out of a model that runs. One CLI: `python -m ci --help`."""
