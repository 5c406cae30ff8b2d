"""The store: all of Frontdesk's SQL, one file for each thing kept. Functions take an open database and `now` (epoch seconds, UTC).

SQLite is the truth: a webhook's events, an answer, a send's outcome each become one short transaction, and every process can
die between any two of them. Work is claimed by a conditional UPDATE with a lease and must prove the claim when it finishes.
"""
