"""The stages of dvc.yaml: read files, call pure functions, write files."""
