"""A recipe: the file in which a user says what a run does, section by section."""
