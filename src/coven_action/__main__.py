"""Run the command line: `python -m coven_action`."""

from coven_action.cli.main import main

main()
