"""Nets this project knows how to build: one file a family, as graphs with folded batch norm."""
