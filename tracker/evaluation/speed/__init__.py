"""What takes how long, against whom, and what each setting contributes."""
