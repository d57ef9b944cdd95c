"""Tools for agents: the Model Context Protocol over HTTP, with one short form of answer."""
