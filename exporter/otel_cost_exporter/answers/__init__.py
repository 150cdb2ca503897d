"""What the books answer: a module for each kind of question, and the shapes of the answers."""
