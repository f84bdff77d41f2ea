"""Third wave, data, representations: rows 10 to 18."""
