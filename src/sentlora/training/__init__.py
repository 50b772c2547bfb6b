"""Training: arguments with reasons, and the one place a Trainer is built."""
