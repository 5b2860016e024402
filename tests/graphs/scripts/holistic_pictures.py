"""Annotates pictures: body, hands, face and a gray background, as the documentation's example for still images does."""

import sys

import cv2
import mediapipe as mp
import numpy as np

mp_drawing = mp.solutions.drawing_utils
mp_drawing_styles = mp.solutions.drawing_styles
mp_holistic = mp.solutions.holistic

BACKGROUND = (192, 192, 192)

with mp_holistic.Holistic(
    static_image_mode=True, model_complexity=1, enable_segmentation=True, refine_face_landmarks=True
) as holistic:
    for file in sys.argv[1:]:
        picture = cv2.imread(file)
        height, width, _ = picture.shape
        results = holistic.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        if not results.pose_landmarks:
            print("nobody")
            continue
        nose = results.pose_landmarks.landmark[mp_holistic.PoseLandmark.NOSE]
        print("nose", round(nose.x * width, 1), round(nose.y * height, 1))
        for name in ("left_hand_landmarks", "right_hand_landmarks", "face_landmarks"):
            part = getattr(results, name)
            print(name, None if part is None else len(part.landmark))

        annotated = picture.copy()
        person = np.stack((results.segmentation_mask,) * 3, axis=-1) > 0.1
        gray = np.zeros(picture.shape, dtype=np.uint8)
        gray[:] = BACKGROUND
        annotated = np.where(person, annotated, gray)
        print("person", round(float(person.mean()), 3))
        mp_drawing.draw_landmarks(
            annotated,
            results.face_landmarks,
            mp_holistic.FACEMESH_TESSELATION,
            landmark_drawing_spec=None,
            connection_drawing_spec=mp_drawing_styles.get_default_face_mesh_tesselation_style(),
        )
        mp_drawing.draw_landmarks(
            annotated,
            results.pose_landmarks,
            mp_holistic.POSE_CONNECTIONS,
            landmark_drawing_spec=mp_drawing_styles.get_default_pose_landmarks_style(),
        )
        for hand in (results.left_hand_landmarks, results.right_hand_landmarks):
            mp_drawing.draw_landmarks(annotated, hand, mp_holistic.HAND_CONNECTIONS)
        print("brightness", round(float(annotated.mean()), 1))
        hips = results.pose_world_landmarks.landmark[mp_holistic.PoseLandmark.LEFT_HIP]
        print("left hip", round(hips.x, 2), round(hips.y, 2))
