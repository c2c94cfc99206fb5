from tests.hubspot.live import client, emulator, running_emulator

__all__ = ["client", "emulator", "running_emulator"]
