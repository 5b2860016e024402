"""The counterpart of `mediapipe.framework`, as `pocketgraph.framework`: the messages that results are."""
