"""Blueprints: what people and programs see over HTTP besides the webhook. Flask lives here and in chatbot.py only."""
