"""Anybody's ``nn.Module``: which layer makes its logits, what goes into that, and another in its place."""
