"""Frontdesk: a self-hosted WhatsApp assistant. The map of the house is in README.md."""
