"""`python -m syncline.cli` is the command `syncline`."""

from syncline.cli import main

main()
