"""For agents: the tools of a service as single calls, and the Model Context Protocol on stdin and stdout."""
