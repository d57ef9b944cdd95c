"""The target `huggingface`: a Hub with the API of the Hugging Face Hub."""
