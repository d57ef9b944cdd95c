"""`python -m assembler_runner` are the server's commands of `assembler`."""

from assembler_runner.cli import main

main()
