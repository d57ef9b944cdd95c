"""Who is notified of events, and the delivery."""
