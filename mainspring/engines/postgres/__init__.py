"""The PostgreSQL engine: one schema in a database, psycopg 3, any number of machines."""
