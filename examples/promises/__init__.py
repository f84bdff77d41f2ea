"""The promises of docs/promises.md, measured at length; the tests hold them at a smaller size."""
