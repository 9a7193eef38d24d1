"""One verb a file; each returns a frozen `Result` and speaks only through talk."""
