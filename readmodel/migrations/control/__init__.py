"""Scripts for the schema `headrace`: what exists once, beside all generations."""
