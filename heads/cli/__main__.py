"""`python -m heads.cli`."""

from heads.cli import main

main()
