"""A FLAME Hub as a target: a Space is an analysis in a project, spoken to by the published flame-hub-client."""
