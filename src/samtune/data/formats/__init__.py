"""Which annotation belongs to which image: folders and manifests."""
