"""Training: descent with all the data and with some, momentum, adaptive rates, the search, the test."""
