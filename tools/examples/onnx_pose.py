"""Draw the keypoints of an exported RTMPose on a photograph: onnxruntime, numpy and opencv only."""
import argparse

import cv2
import numpy as np
import onnxruntime

MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # of RGB
STD = np.array([58.395, 57.12, 57.375], np.float32)
PADDING = 1.25  # the crop is this much larger than the box
BINS_PER_PIXEL = 2  # SimCC bins per input pixel


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


def main():
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', help='end2end.onnx written by tools/deploy.py')
    parser.add_argument('image')
    parser.add_argument('output', help='image to write')
    parser.add_argument('--box', type=float, nargs=4, metavar=('X', 'Y', 'W', 'H'),
                        help='the person, in pixels (default: the whole image)')
    parser.add_argument('--score', type=float, default=0.3, help='smallest score drawn')
    args = parser.parse_args()
    image = cv2.imread(args.image)
    if image is None:
        parser.error(f'cannot read image {args.image!r}')
    session = onnxruntime.InferenceSession(args.model, providers=['CPUExecutionProvider'])
    box = args.box or (0, 0, image.shape[1], image.shape[0])
    for index, (point, score) in enumerate(zip(*locate(session, image, box))):
        print(f'{index:3d} x {point[0]:7.1f} y {point[1]:7.1f} score {score:.3f}')
        if score >= args.score:
            cv2.circle(image, tuple(point.round().astype(int).tolist()), 4, (0, 200, 255), -1)
    if not cv2.imwrite(args.output, image):
        parser.error(f'cannot write {args.output!r}')


if __name__ == '__main__':
    main()
