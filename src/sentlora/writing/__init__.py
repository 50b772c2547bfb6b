"""Writing: files and folders that a reader finds whole, whatever happens to the one who writes them."""
