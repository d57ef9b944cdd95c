"""`python -m assembler_runner` is the command `assembler`."""

from assembler_runner.cli import main

main()
