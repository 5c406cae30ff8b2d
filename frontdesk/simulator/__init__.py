"""A WhatsApp that runs here: it plays the Graph API on loopback, signs and posts webhooks, and shows a phone.

A server in a process of its own (`python -m frontdesk.simulator`) that knows Frontdesk only through HTTP: a newcomer plays with
it, tests and benchmarks count from its records. What it does follows Meta's documentation, faults are made on demand.
"""
