"""What makes the pictures and the tables of the documentation."""
