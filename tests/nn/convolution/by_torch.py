"""torch's convolutions and pools for arrays with channels last and kernels (*window, in, out)."""


def channels_last(f):
    """A function of an array with channels second as one of channels last; other arguments reach it unchanged."""

    def run(x, *rest):
        return f(x.movedim(-1, 1), *rest).movedim(1, -1)

    return run


def conv(*, padding, **options):
    """torch's convolution for (low, high) pairs of padding per axis: a function of x, kernel and, if given, bias."""
    import torch

    def run(x, kernel, bias=None):
        padded = torch.nn.functional.pad(x, [n for pair in reversed(list(padding)) for n in pair])
        function = getattr(torch.nn.functional, f"conv{len(padding)}d")
        return function(padded, kernel.movedim((-1, -2), (0, 1)), bias, **options)

    return channels_last(run)


def conv_transpose(rank, **options):
    """torch's transposed convolution, as a function of x, kernel and, if given, bias."""
    import torch

    function = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    return channels_last(lambda x, kernel, bias=None: function(x, kernel.movedim((-1, -2), (0, 1)), bias, **options))
