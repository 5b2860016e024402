"""Blurs what is behind a person, and marks faces, as in a video call."""

import cv2
import mediapipe as mp
import numpy as np

mp_drawing = mp.solutions.drawing_utils
mp_selfie_segmentation = mp.solutions.selfie_segmentation
mp_face_detection = mp.solutions.face_detection

capture = cv2.VideoCapture(0)
with (
    mp_selfie_segmentation.SelfieSegmentation(model_selection=1) as selfie_segmentation,
    mp_face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5) as face_detection,
):
    while capture.isOpened():
        success, image = capture.read()
        if not success:
            break
        image = cv2.cvtColor(cv2.flip(image, 1), cv2.COLOR_BGR2RGB)
        image.flags.writeable = False
        results = selfie_segmentation.process(image)
        faces = face_detection.process(image)
        image.flags.writeable = True
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        condition = np.stack((results.segmentation_mask,) * 3, axis=-1) > 0.1
        output = np.where(condition, image, cv2.GaussianBlur(image, (55, 55), 0))
        for detection in faces.detections or []:
            nose = mp_face_detection.get_key_point(detection, mp_face_detection.FaceKeyPoint.NOSE_TIP)
            box = detection.location_data.relative_bounding_box
            print("face", round(detection.score[0], 2), [round(v, 2) for v in (nose.x, nose.y, box.xmin, box.width)])
            mp_drawing.draw_detection(output, detection)
        print("person", round(float(condition.mean()), 2), "brightness", round(float(output.mean()), 1))
        cv2.imshow("Call", output)
        if cv2.waitKey(5) & 0xFF == 27:
            break
capture.release()
