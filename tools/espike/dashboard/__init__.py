"""registry and boards -> pages in a browser (docs/dashboard.md): figures are pure functions, pages show them."""
