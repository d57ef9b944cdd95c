"""The examples, and what makes request bodies of them."""
