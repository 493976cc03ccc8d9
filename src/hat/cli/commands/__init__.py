"""The commands of `hat`, in files by what they work on."""
