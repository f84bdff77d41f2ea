"""Third wave, data, representations."""
