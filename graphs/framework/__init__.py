"""The counterpart of `mediapipe.framework`, as `pocketgraph.framework`: the messages that results are."""

if __name__ != "pocketgraph.framework":
    raise ImportError(f"this package is pocketgraph.framework, it cannot be imported as {__name__}")
