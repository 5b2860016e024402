"""The geometry and decoding between pictures and landmark models, in plain NumPy and OpenCV, one idea a file.

A detector or landmark model sees a square of floats; everything around it is here: rectangles in a picture (`rect`),
the crop into the model's input (`image_to_tensor`), detector outputs (`anchors`, `detections`, `nms`), landmark outputs
(`landmarks`, `refine`), what follows things from frame to frame (`tracking`, `association`, `smoothing`), masks
(`mask`) and the face model with attention (`attention`). Behaviour and constants are those of MediaPipe 0.10.21, which
the graphs in `pocketgraph.graphs` match; each function names the calculator of MediaPipe that it stands for.

Pictures are RGB, uint8 `[height, width, 3]`. Coordinates are normalised: x by the picture's width, y by its height.
"""
