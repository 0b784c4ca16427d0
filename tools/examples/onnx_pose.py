"""Draw the poses that an exported RTMPose finds: onnxruntime, numpy and opencv are all it needs.

    python onnx_pose.py end2end.onnx photo.jpg drawn.jpg --box 40 60 120 300
    python onnx_pose.py end2end.onnx drawn.mp4 --video walk.mp4 --detector rtmdet.onnx
    python onnx_pose.py end2end.onnx --camera 0 --detector rtmdet.onnx      # a window, until q
"""
import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # of RGB
STD = np.array([58.395, 57.12, 57.375], np.float32)
PADDING = 1.25  # the crop is this much larger than the box
BINS_PER_PIXEL = 2  # SimCC bins per input pixel
LIMBS = {17: [(15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7),
              (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]}


def locate(session, image, box):
    """Find keypoints [K, 2] in image pixels and their scores [K]; box is x, y, width, height."""
    node = session.get_inputs()[0]
    height, width = node.shape[2:]
    x, y, w, h = box
    center = np.array([x + w / 2, y + h / 2])
    crop = np.array([max(w, h * width / height), max(h, w * height / width)]) * PADDING
    ratio = width / crop[0]
    shift = np.array([width, height]) / 2 - ratio * center
    patch = cv2.warpAffine(image, np.array([[ratio, 0, shift[0]], [0, ratio, shift[1]]]),
                           (width, height), flags=cv2.INTER_LINEAR)
    patch = (patch[..., ::-1].astype(np.float32) - MEAN) / STD
    simcc_x, simcc_y = session.run(None, {node.name: patch.transpose(2, 0, 1)[None]})
    keypoints = np.stack([simcc_x[0].argmax(1), simcc_y[0].argmax(1)], 1) / BINS_PER_PIXEL
    scores = np.minimum(simcc_x[0].max(1), simcc_y[0].max(1))
    return (keypoints - shift) / ratio, scores


def detect(session, image, least=0.4):
    """Find people by an exported RTMDet, the most certain first: boxes x, y, width, height."""
    node = session.get_inputs()[0]
    height, width = (side if isinstance(side, int) else 640 for side in node.shape[2:])
    ratio = min(height / image.shape[0], width / image.shape[1])
    small = cv2.resize(image, (round(image.shape[1] * ratio), round(image.shape[0] * ratio)))
    padded = np.full((height, width, 3), 114, np.float32)
    padded[:small.shape[0], :small.shape[1]] = small
    padded = (padded - MEAN[::-1]) / STD[::-1]  # of BGR
    found, labels = session.run(['dets', 'labels'], {node.name: padded.transpose(2, 0, 1)[None]})
    found = found[0][(labels[0] == 0) & (found[0][:, 4] >= least)]
    found = found[np.argsort(-found[:, 4])]
    return np.concatenate([found[:, :2], found[:, 2:4] - found[:, :2]], 1) / ratio


def read_boxes(path, name, number):
    """Boxes of a detector's JSON: `bbox` and the `file_name` or `image_id` of image or frame."""
    def matches(entry):
        if 'file_name' in entry:
            return Path(entry['file_name']).name == name
        return entry.get('image_id', number) == number
    return [entry['bbox'] for entry in json.loads(Path(path).read_text()) if matches(entry)]


def draw(image, box, keypoints, scores, least):
    """Draw a person into an image."""
    x, y, w, h = (round(float(value)) for value in box)
    size = max(2, round(max(image.shape[:2]) / 250))
    places = [tuple(point) for point in keypoints.round().astype(int).tolist()]
    cv2.rectangle(image, (x, y), (x + w, y + h), (0, 200, 0), max(1, size // 2))
    for first, second in LIMBS.get(len(places), ()):
        if min(scores[first], scores[second]) >= least:
            cv2.line(image, places[first], places[second], (255, 120, 0), size)
    for place, score in zip(places, scores):
        if score >= least:
            cv2.circle(image, place, size + 1, (0, 200, 255), -1)


class Poses:
    """What one command line asks for.

    Args:
        args: of `parse_args`.
    """

    def __init__(self, args):
        self.args, self.best = args, -np.inf
        self.model, self.detector = (
            path and onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
            for path in (args.model, args.detector))

    def boxes(self, image, name, number):
        """Where the people of an image are."""
        if self.args.box:
            return self.args.box
        if self.args.boxes:
            return read_boxes(self.args.boxes, name, number)
        if self.detector:
            return detect(self.detector, image)
        return [(0, 0, image.shape[1], image.shape[0])]

    def draw(self, image, name, number, tell=False):
        """Draw the people of an image into it."""
        for box in self.boxes(image, name, number):
            keypoints, scores = locate(self.model, image, box)
            draw(image, box, keypoints, scores, self.args.score)
            self.best = max(self.best, scores.max())
            for index, (point, score) in enumerate(zip(keypoints, scores) if tell else ()):
                print(f'{index:3d} x {point[0]:7.1f} y {point[1]:7.1f} score {score:.3f}')
        return image

    def why_empty(self):
        """Why nothing is drawn, or ''."""
        if self.best == -np.inf:
            return 'no person: neither --boxes nor --detector has a box'
        if self.best >= self.args.score:
            return ''
        whole = not (self.args.box or self.args.boxes or self.args.detector)
        return (f'no keypoint is drawn: the best score is {self.best:.3f}, and --score is '
                f'{self.args.score:g}' + whole * '; the whole image was taken for the person: give '
                '--box, --boxes or --detector')

    def film(self, source, output):
        """Draw every frame of a video or camera into a file, or a window."""
        film, writer, number = cv2.VideoCapture(source), None, 0
        while True:
            there, frame = film.read()
            if not there:
                return number
            frame = self.draw(frame, f'{number}', number)
            if output is None:
                cv2.imshow('poses, q ends', frame)
                if cv2.waitKey(1) == ord('q'):
                    return number + 1
            elif writer is None:
                writer = cv2.VideoWriter(output, cv2.VideoWriter_fourcc(*'mp4v'),
                                         film.get(cv2.CAP_PROP_FPS) or 25, frame.shape[1::-1])
            if writer is not None:
                writer.write(frame)
            number += 1


def main():
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='end2end.onnx written by tools/deploy.py')
    parser.add_argument('files', nargs='*', metavar='FILE',
                        help='image to read and image to write; of a film the one to write')
    parser.add_argument('--video', help='film to read')
    parser.add_argument('--camera', type=int, help='number of a camera to read')
    parser.add_argument('--box', type=float, nargs=4, metavar=('X', 'Y', 'W', 'H'), action='append',
                        help='a person, in pixels; may be repeated (default: the whole image)')
    parser.add_argument('--boxes', help="a detector's JSON: a list of bbox, image_id or file_name")
    parser.add_argument('--detector', help='RTMDet that tools/deploy.py has exported')
    parser.add_argument('--score', type=float, default=0.3, help='smallest score drawn')
    args = parser.parse_args()
    source = args.camera if args.video is None else args.video
    if len(args.files) not in ({2} if source is None else {1} if args.video else {0, 1}):
        parser.error('give IMAGE OUTPUT; OUTPUT with --video; OUTPUT or nothing with --camera')
    poses = Poses(args)
    if source is None:
        image = cv2.imread(args.files[0])
        if image is None:
            parser.error(f'cannot read image {args.files[0]!r}')
        stem = Path(args.files[0]).stem
        number = int(stem) if stem.isdecimal() else None
        image = poses.draw(image, Path(args.files[0]).name, number, tell=True)
        if not cv2.imwrite(args.files[1], image):
            parser.error(f'cannot write {args.files[1]!r}')
    else:
        frames = poses.film(source, args.files[0] if args.files else None)
        if not frames:
            parser.error(f'no frame can be read of {source!r}')
        print(f'{frames} frames')
    print(poses.why_empty(), end='\n' if poses.why_empty() else '')


if __name__ == '__main__':
    main()
