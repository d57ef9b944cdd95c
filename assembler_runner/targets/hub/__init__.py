"""A Hub that speaks the API of the Hugging Face Hub."""
