"""NIR files (docs/nir.md): trained spiking networks of other frameworks, read, checked and written."""
