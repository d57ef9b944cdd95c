"""The client without input and output: what each method sends and reads, as steps that a transport carries out."""
