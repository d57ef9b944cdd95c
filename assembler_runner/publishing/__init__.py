"""The worker's side, after the queue: claims, pipeline, actions, clean-up."""
