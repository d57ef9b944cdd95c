"""The worker's side: queue, claims, pipeline, actions, clean-up."""
