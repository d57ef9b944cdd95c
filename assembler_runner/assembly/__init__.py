"""What a Space is made of: plugin, parameters and given files → tree and findings; pure."""
