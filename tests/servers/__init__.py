"""Real servers for tests: started privately on free ports, ended with the session."""
