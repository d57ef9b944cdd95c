"""What a Space is: tables, transitions, app states, events, names, leases."""
