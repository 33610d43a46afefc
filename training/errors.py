"""Exceptions of training. Each message is one line, printed by the command that failed.

TrainingError
├── RecipeError    a recipe or a flag is invalid (exit status 2)
├── DataError      the images cannot be used
├── RunError       a run folder is missing, unfinished or from another recipe
├── ExportError    an exported graph differs from the trained network
├── DiskFullError  no space left for a file
└── ModelImportError  a network to import cannot be used
"""


class TrainingError(Exception):
    """Base class of all exceptions that training raises deliberately."""


class RecipeError(TrainingError):
    """A recipe or a flag has an unknown key or a value out of range."""


class DataError(TrainingError):
    """The images are missing, unreadable or too few."""


class RunError(TrainingError):
    """A run folder is missing, unfinished, or was created with another recipe."""


class ExportError(TrainingError):
    """A graph cannot be exported, or differs from eager PyTorch."""


class DiskFullError(TrainingError):
    """There is no space left for a file."""


class ModelImportError(TrainingError):
    """A network that was trained elsewhere cannot be imported; the message says what to change."""
