"""The template's own automation: bake, demo."""
