"""Losses as functions of tensors. Each agrees with its formula computed by hand in tests."""
