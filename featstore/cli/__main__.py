"""`python -m featstore.cli`."""

from featstore.cli import main

main()
