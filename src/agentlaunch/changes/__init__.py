"""Files that are the user's: edits as values, and a journal that gives every one of them back."""
