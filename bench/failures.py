"""Why something could not be measured, for the table."""


class UnavailableError(Exception):
    """A side cannot run on this machine at all; the message says what is missing."""


class SideFailedError(Exception):
    """A side ran and failed; the message has its own words."""
