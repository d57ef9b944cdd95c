"""Authentication and authorization: accounts, roles, permissions, tokens."""
