"""The client without I/O: each method as a sequence of steps, which a transport executes."""
