"""Ready pipelines: from pictures to faces, hands, poses and masks.

Each is a class that is called with one RGB frame after the other, or streams a video, a camera or frames of your own::

    from pocketgraph.graphs import Holistic

    with Holistic() as holistic:
        for result in holistic.stream("video.mp4"):
            print(result.timestamp_us, result.pose, result.left_hand, result.right_hand, result.face)

Beside each class lies a graph file that computes the same, part by part, to be changed, drawn and profiled::

    from pocketgraph.graphs import load_graph, run_frames

    with load_graph("holistic", threads=2) as graph:
        for result in run_frames(graph, frames, {"refine_face": True}):
            print(result["pose_landmarks"], result["face_landmarks"])
"""

from pocketgraph.graphs.face_detection import FaceDetection
from pocketgraph.graphs.face_mesh import FaceMesh
from pocketgraph.graphs.hand_landmarker import Hand
from pocketgraph.graphs.hands import Hands
from pocketgraph.graphs.holistic import Confidence, Holistic, HolisticResult
from pocketgraph.graphs.holistic_people import HolisticPeople
from pocketgraph.graphs.pose import Pose, PoseResult
from pocketgraph.graphs.run import graph_names, load_graph, run_frames
from pocketgraph.graphs.selfie_segmentation import SelfieSegmentation
from pocketgraph.graphs.streaming import Timed

__all__ = [
    "Confidence",
    "FaceDetection",
    "FaceMesh",
    "Hand",
    "Hands",
    "Holistic",
    "HolisticPeople",
    "HolisticResult",
    "Pose",
    "PoseResult",
    "SelfieSegmentation",
    "Timed",
    "graph_names",
    "load_graph",
    "run_frames",
]
