"""The commands of `hat`, one file for each group that `hat --help` shows, or for a command with much to
it."""
