"""`make data`: from somebody's file to typed raw data, a schema, and settings that fit the task."""
