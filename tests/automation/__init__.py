"""The tests of the automation, in folders like its rooms; they run it in place, with the template's packages."""
