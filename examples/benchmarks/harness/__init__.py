"""Child processes that wait for their turn, and what is made of their answers."""
