"""The one error that is the user's to mend."""


class DatamapError(Exception):
    """A mistake the user can mend: says where, what, and what is accepted.

    The command line prints its message without a traceback and exits with `exit_code`; anything else is a defect
    of ours and crashes loudly.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
