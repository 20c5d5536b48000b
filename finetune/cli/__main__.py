"""`python -m finetune.cli`."""

from finetune.cli import main

main()
