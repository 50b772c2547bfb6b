"""Domain transfer: adapters tested on the data of other adapters."""
