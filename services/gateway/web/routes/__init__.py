"""What each route does: shape the question, ask the door, say what came of it."""
