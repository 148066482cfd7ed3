"""The one error that is the user's to mend."""


class DatamapError(Exception):
    """A mistake the user can mend: says where, what, and what is accepted.

    The command line prints its message without a traceback and exits with 1; anything else is a defect
    of ours and crashes loudly.
    """
