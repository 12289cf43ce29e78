"""From an image to the encoder's input and back."""
