"""The model's code: pure modules that compute, and `stages`, the only files that know paths."""
