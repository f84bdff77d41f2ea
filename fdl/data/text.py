"""Texts of the lecture."""

import os

from fdl.data.fetch import fetch

TINY_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def tiny_shakespeare(root: str | os.PathLike | None = None) -> str:
    """A million letters of Shakespeare's plays, 65 different ones.  https://github.com/karpathy/char-rnn  Public domain

    The usual split is the first 90 % for training and the rest for validation.  For root see `fetch`.
    """
    name = "tinyshakespeare/input.txt"
    return fetch(name, TINY_SHAKESPEARE + name, SHA256, size=1_115_394, root=root).read_text("ascii")
