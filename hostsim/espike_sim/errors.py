"""One exception root for the whole project."""


class EspikeError(Exception):
    """Bad input or a failed job, said in one line: what happened, where, and what to do.

    Libraries raise it; the command line prints it and exits with 1.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what = what
        self.where = where
        self.do = do
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}; {do}" if do else text)
