"""The course as software: what a row is, how it is run, recorded and shown."""
