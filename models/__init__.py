"""What a model is: the graph, file formats read and written, the zoo of pinned weights."""
