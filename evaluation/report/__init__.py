"""One HTML page that tells what runs are worth, and shows where they fail."""
