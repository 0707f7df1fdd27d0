"""``python -m lightmeter.cli`` is the command."""

from lightmeter.cli import main


main()
