"""Who acts where nobody asked for it: policy itself."""

POLICY = "service:policy"
