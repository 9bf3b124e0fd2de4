"""What `headrace provision` is made of: `cloud` applies the template, `append_probe` finds out how this backend appends best."""
