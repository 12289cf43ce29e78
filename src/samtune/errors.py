"""The exceptions of samtune.

Every failure that a user can fix is a `SamTuneError`. Its text says what is wrong, where, and what to do. The command
line prints it and exits with code 2.

    SamTuneError
    ├── ConfigError      a setting: unknown, out of range, without effect, in conflict with another
    ├── DataError        images, masks, folders, manifests
    ├── WeightsError     a base checkpoint or a saved specialist that cannot be loaded or does not match
    ├── MethodError      a method that cannot be attached to this model
    ├── OutputError      a file or folder that cannot be written, or that samtune must not replace
    └── ShapeError       a tensor or image of the wrong shape, handed in from Python
"""


class SamTuneError(Exception):
    """Base class of all errors that samtune raises on purpose."""


class ConfigError(SamTuneError):
    """A setting is unknown, out of range, without effect, or in conflict with another."""


class DataError(SamTuneError):
    """Images, masks, a folder or a manifest cannot be used; lists all problems found, not only the first."""


class WeightsError(SamTuneError):
    """A base checkpoint or a saved specialist cannot be loaded, or does not match what it is loaded into."""


class MethodError(SamTuneError):
    """A method cannot be attached to this model: it is attached already, or a site or role is missing."""


class OutputError(SamTuneError):
    """A file or folder cannot be written: an error of the disk, or a file that samtune must not replace."""


class ShapeError(SamTuneError):
    """A tensor or an image handed in from Python has the wrong shape, dtype or range."""
