"""The routes of an app: a module for each noun."""
