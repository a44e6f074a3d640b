"""What a network answers to changed images: figures, a verdict, a picture."""
