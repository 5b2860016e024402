"""Counts curls of the left arm by the angle at the elbow and draws only that arm."""

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.framework.formats import landmark_pb2

mp_drawing = mp.solutions.drawing_utils
mp_pose = mp.solutions.pose


def angle_at(a, b, c):
    """Degrees, 0 to 180."""
    a, b, c = np.array(a), np.array(b), np.array(c)
    radians = np.arctan2(c[1] - b[1], c[0] - b[0]) - np.arctan2(a[1] - b[1], a[0] - b[0])
    degrees = np.abs(radians * 180.0 / np.pi)
    return 360 - degrees if degrees > 180 else degrees


cap = cv2.VideoCapture(0)
counter, stage = 0, None
with mp_pose.Pose(min_detection_confidence=0.5, min_tracking_confidence=0.5) as pose:
    while cap.isOpened():
        ret, frame = cap.read()
        if not ret:
            break
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        image.flags.writeable = False
        results = pose.process(image)
        image.flags.writeable = True
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        try:
            landmarks = results.pose_landmarks.landmark
        except AttributeError:
            print("nobody")
            continue
        joints = [landmarks[mp_pose.PoseLandmark[name].value] for name in ("LEFT_SHOULDER", "LEFT_ELBOW", "LEFT_WRIST")]
        angle = angle_at(*[[joint.x, joint.y] for joint in joints])
        if angle > 160:
            stage = "down"
        if angle < 50 and stage == "down":
            stage = "up"
            counter += 1
        arm = landmark_pb2.NormalizedLandmarkList(landmark=joints)
        mp_drawing.draw_landmarks(image, arm, [(0, 1), (1, 2)])
        elbow = tuple(np.multiply([joints[1].x, joints[1].y], [640, 480]).astype(int).tolist())
        cv2.putText(image, str(int(angle)), elbow, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 2, cv2.LINE_AA)
        print(round(float(angle)), stage, counter, round(joints[0].visibility, 2))
        cv2.imshow("Curls", image)
        if cv2.waitKey(10) & 0xFF == ord("q"):
            break
cap.release()
cv2.destroyAllWindows()
