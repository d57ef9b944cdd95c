"""The rules, one file a subject; importing a file declares its rules."""
