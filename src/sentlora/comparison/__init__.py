"""Several ways of training, measured on the same rows and laid side by side."""
