"""The screen in a browser: a trained classifier, tried on one text or on a file."""
