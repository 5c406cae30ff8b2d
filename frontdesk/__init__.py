"""Frontdesk: a self-hosted WhatsApp assistant. The map of the house is in README.md."""

__version__ = "0.2.0"
