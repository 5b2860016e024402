"""Counts raised fingers and turns the distance of thumb and index finger into a volume, with a detector class."""

import math

import cv2
import mediapipe as mp
import numpy as np
from google.protobuf.json_format import MessageToDict


class HandDetector:
    """Wraps the solution as tutorials do: settings by position, landmarks as lists of pixels."""

    tips = (4, 8, 12, 16, 20)

    def __init__(self, mode=False, max_hands=2, complexity=1, detection=0.7, track=0.5):
        self.mp_hands = mp.solutions.hands
        self.hands = self.mp_hands.Hands(mode, max_hands, complexity, detection, track)
        self.draw = mp.solutions.drawing_utils
        self.spec = self.draw.DrawingSpec(color=(0, 255, 0), thickness=1, circle_radius=3)

    def find_hands(self, frame):
        self.results = self.hands.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        for hand in self.results.multi_hand_landmarks or []:
            self.draw.draw_landmarks(frame, hand, self.mp_hands.HAND_CONNECTIONS, self.spec, self.spec)
        return frame

    def find_position(self, frame, number=0):
        height, width, _ = frame.shape
        if not self.results.multi_hand_landmarks:
            return []
        hand = self.results.multi_hand_landmarks[number]
        return [[i, int(point.x * width), int(point.y * height)] for i, point in enumerate(hand.landmark)]

    def fingers_up(self, points):
        thumb = points[4][1] > points[3][1]
        return [int(thumb)] + [int(points[tip][2] < points[tip - 2][2]) for tip in self.tips[1:]]


detector = HandDetector(detection=0.5)
camera = cv2.VideoCapture(0)
while True:
    success, img = camera.read()
    if not success:
        break
    img = detector.find_hands(img)
    points = detector.find_position(img)
    if points:
        side = MessageToDict(detector.results.multi_handedness[0])["classification"][0]
        length = math.hypot(points[8][1] - points[4][1], points[8][2] - points[4][2])
        volume = float(np.interp(length, [10, 200], [0, 100]))
        print(side["label"], round(side["score"], 2), detector.fingers_up(points), round(volume))
    else:
        print("no hand")
    cv2.imshow("Volume", img)
    cv2.waitKey(1)
