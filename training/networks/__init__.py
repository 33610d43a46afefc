"""Network definitions, named as in their papers."""
