"""The app behind all routes: the threads that ask its store, and who waits for something."""
