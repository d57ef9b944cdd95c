"""`python -m assembler_runner` are the server's commands of `assembler`."""

from assembler_runner.ops.cli.main import main

main()
