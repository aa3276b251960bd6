"""Training: recipes, losses, the loop. May use model and data; is never imported by them."""
