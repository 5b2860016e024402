"""Draws a refined face mesh and measures how far the eyes are open and how large the irises are."""

import cv2
import mediapipe as mp
import numpy as np

mp_face_mesh = mp.solutions.face_mesh
mp_drawing = mp.solutions.drawing_utils
mp_styles = mp.solutions.drawing_styles

LEFT_EYE = (362, 385, 387, 263, 373, 380)
RIGHT_EYE = (33, 160, 158, 133, 153, 144)
IRISES = {"right": (469, 471), "left": (474, 476)}


def eye_aspect_ratio(points, eye):
    p = points[list(eye)]
    return (np.linalg.norm(p[1] - p[5]) + np.linalg.norm(p[2] - p[4])) / (2 * np.linalg.norm(p[0] - p[3]))


face_mesh = mp_face_mesh.FaceMesh(
    max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.5, min_tracking_confidence=0.5
)
cap = cv2.VideoCapture(0)
blinks, closed = 0, False
while cap.isOpened():
    ok, frame = cap.read()
    if not ok:
        break
    h, w = frame.shape[:2]
    results = face_mesh.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    for face in results.multi_face_landmarks or []:
        points = np.array([[landmark.x * w, landmark.y * h] for landmark in face.landmark])
        assert len(points) == mp_face_mesh.FACEMESH_NUM_LANDMARKS_WITH_IRISES
        ratio = (eye_aspect_ratio(points, LEFT_EYE) + eye_aspect_ratio(points, RIGHT_EYE)) / 2
        if ratio < 0.2 and not closed:
            blinks += 1
        closed = ratio < 0.2
        sizes = {side: float(np.linalg.norm(points[a] - points[b])) for side, (a, b) in IRISES.items()}
        print(round(float(ratio), 2), blinks, {side: round(size, 1) for side, size in sizes.items()})
        for connections, style in (
            (mp_face_mesh.FACEMESH_TESSELATION, mp_styles.get_default_face_mesh_tesselation_style()),
            (mp_face_mesh.FACEMESH_CONTOURS, mp_styles.get_default_face_mesh_contours_style()),
            (mp_face_mesh.FACEMESH_IRISES, mp_styles.get_default_face_mesh_iris_connections_style()),
        ):
            mp_drawing.draw_landmarks(
                image=frame,
                landmark_list=face,
                connections=connections,
                landmark_drawing_spec=None,
                connection_drawing_spec=style,
            )
    print("brightness", round(float(frame.mean()), 1))
    cv2.imshow("Face", frame)
    if cv2.waitKey(1) & 0xFF == ord("q"):
        break
face_mesh.close()
cap.release()
