"""`python -m assembler_runner` runs the server commands of `assembler`."""

from assembler_runner.ops.cli.main import main

main()
