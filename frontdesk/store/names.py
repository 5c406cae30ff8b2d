"""What the desk calls a customer, in SQL. WhatsApp may tell a user id alone, and an empty name is none."""

SHOWN_NAME = """COALESCE(NULLIF(TRIM(contacts.name), ''), NULLIF(contacts.username, ''), '+' || contacts.phone, contacts.user_id,
    'Unknown')"""
