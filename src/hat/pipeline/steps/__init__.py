"""Steps, the folders that they work in, and the view that they have of their run."""
