"""How containers start, and how images are protected, beside native containers, builds, and encryption as a whole."""
