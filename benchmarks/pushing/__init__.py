"""Contacts through the application to the emulator, each of the three in processes of its own. `push.py` runs it."""
