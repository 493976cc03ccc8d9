"""The results of a run, compared, judged and published."""
