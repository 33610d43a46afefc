"""A finished run as pictures and one page: `latentd report`."""
