"""The tests of the template, and of the automation that it gives its projects."""
