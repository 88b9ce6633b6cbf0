"""The HTTP service and its page. Needs the extra ``web``; nothing else in the package imports from here."""
