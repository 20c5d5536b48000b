"""Official run files: read, checked line by line, scored, written, and placed beside the contest's results."""
