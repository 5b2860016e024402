"""`pocketgraph bench graph`: frames a second of whole pipelines, ours beside MediaPipe's, on the same video."""
