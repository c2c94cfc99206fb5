from tests.hubspot.live import client, emulator, hubspot, running_emulator

__all__ = ["client", "emulator", "hubspot", "running_emulator"]
