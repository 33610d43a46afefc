"""Everything training raises on purpose; each text is one line for the person who typed a command.

TrainingError
├── RecipeError    a recipe or a flag is wrong (exit status 2)
├── DataError      the images cannot be used
├── RunError       a run folder is missing, unfinished or of another recipe
└── ExportError    an exported graph does not do what the trained network does
"""


class TrainingError(Exception):
    """Base of all errors that training raises on purpose."""


class RecipeError(TrainingError):
    """A recipe or a flag names an unknown key or holds a value out of range."""


class DataError(TrainingError):
    """The images are missing, unreadable or too few."""


class RunError(TrainingError):
    """A run folder is missing, unfinished, or was made with another recipe."""


class ExportError(TrainingError):
    """A graph could not be exported, or differs from eager PyTorch."""
