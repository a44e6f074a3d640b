"""The chest of a phantom: how much the rays are attenuated by body, bones, heart and disease.

Tissue and bone add to the map, air takes away. Disease takes air out of the lungs and touches
nothing else.
"""

import math

import numpy as np
import numpy.typing as npt

from covid.data.phantom_shapes import (
    SIDES,
    Field,
    Layer,
    Patient,
    Pose,
    Shot,
    curve,
    ellipse,
    rise,
    stream,
    texture,
    tree,
)


def _lungs(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """Where there is lung, and how much of the body's thickness it takes: 0 to 1."""
    layer = Layer(pose)
    for side in SIDES:
        dome = shot.dome(patient, side)
        heights = np.linspace(0.12, dome, 7)
        points = [*zip(patient.cage(heights) - 0.008, heights, strict=True)]
        points += [(patient.cage(dome + 0.08) - 0.012, dome + 0.085)]  # the costophrenic angle
        floor = [(0.30, 0.022), (0.20, 0.0), (0.12, 0.01), (0.05, 0.045)]
        points += [(x * patient.width, dome + y) for x, y in floor]
        points += [(0.045, 0.5), (0.05, 0.3), (0.055, 0.17), (0.085, 0.1), (0.125, 0.082)]
        layer.area(curve(points, closed=True) * [side, 1])
    return layer.field(0.0025) * (0.55 + 0.45 * rise(layer.field(0.035), 0.3, 1.0))


def _body(patient: Patient, pose: Pose) -> Field:
    """Soft tissue without lungs: arms, and a torso that is thicker inside and below."""
    layer = Layer(pose)
    flank = 0.435 * patient.width + 0.05 * patient.habitus
    lift = stream("arms", patient.seed).uniform(0.03, 0.14)  # how far the arms stand off
    arm = curve([(0.41, 0.17), (0.49 + lift, 0.42), (0.53 + 2 * lift, 0.8), (0.5, 1.3)])
    torso = curve([(0.085, -0.3), (0.088, -0.03), (0.13, 0.02), (0.28, 0.06), (0.40, 0.095),
                    (0.47, 0.16), (flank + 0.01, 0.36), (flank, 0.6), (flank, 1.3)])  # fmt: skip
    for side in SIDES:
        layer.band(arm * [side, 1], 0.13 + 0.03 * patient.habitus)
    layer.area(np.concatenate([torso, (torso * [-1, 1])[::-1]]))
    middle = 0.36 * layer.field(0.05) + 0.24 * rise(pose.y, 0.6, 0.95) - 0.25 * pose.x**2
    tissue: Field = layer.field(0.003) * (0.42 + 0.14 * patient.habitus + middle)
    return tissue


def _ribs(patient: Patient, pose: Pose) -> Field:
    """Ribs, in the back and more faintly in front, where they cross those."""
    behind, before = Layer(pose), Layer(pose)
    t = np.linspace(0, 1, 20)
    for number in range(11):
        start, fall = 0.06 + number * patient.spacing, patient.slope * (0.45 + 0.08 * number)
        y = start - 0.03 * np.sin(np.pi * t**0.8) * (1 - t) + fall * t**1.9
        x = 0.03 + (patient.cage(y) - 0.03) * np.sin(np.pi / 2 * t) ** 0.9
        low = y[-1] + (0.05 + 0.11 * min(1.0, number / 5)) * t
        inward = patient.cage(low) * (1 - 0.62 * t**1.7)
        for side in SIDES:
            back = np.stack([side * x, y], axis=1)
            behind.band(back, 0.026, 0.66)
            behind.lines(back + [0, 0.0115], 0.004, 1.0)  # the thick lower edge
            behind.lines(back - [0, 0.0115], 0.003, 0.85)
            before.band(np.stack([side * inward, low], axis=1), 0.03, 0.9)
    fading = rise(np.abs(pose.x), 0.07, 0.36)  # towards the breastbone they become cartilage
    return 0.10 * behind.field(0.0025) + 0.055 * before.field(0.004) * fading


def _bones(patient: Patient, pose: Pose) -> Field:
    """Spine, clavicles, shoulder blades and arms."""
    layer = Layer(pose)
    tip = stream("bones", patient.seed).uniform(0.06, 0.12)  # how high the shoulders are
    blade = [(0.40, 0.155), (0.315, 0.19), (0.31, 0.3), (0.36, 0.47), (0.385, 0.44), (0.43, 0.22)]
    collar = curve([(0.025, 0.19), (0.11, 0.155), (0.22, tip + 0.035), (0.40, tip + 0.01)])
    for side in SIDES:
        layer.area(curve(blade, closed=True) * [side, 1], 0.36)
        layer.lines(curve(blade[1:4]) * [side, 1], 0.006, 0.55)
        layer.band(curve([(0.455, 0.19), (0.53, 0.45), (0.6, 0.9)]) * [side, 1], 0.045, 0.7)
        layer.area(ellipse(side * 0.445, 0.17, 0.045, 0.05), 0.8)
        layer.band(collar * [side, 1], 0.027, 0.8)
        layer.lines(collar * [side, 1] + [0, 0.012], 0.004, 1.0)
    for y in np.arange(-0.08, 1.2, 0.056):  # a vertebra each
        layer.area(ellipse(0, y, 0.04, 0.0235), 0.7)
        layer.area(ellipse(0, y + 0.012, 0.008, 0.015), 0.95)
        for side in SIDES:
            layer.area(ellipse(side * 0.026, y - 0.004, 0.008, 0.009), 0.95)
    return 0.16 * layer.field(0.003)


def _mediastinum(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """Where heart and great vessels fill the middle: 0 to 1."""
    layer = Layer(pose)
    floor = max(shot.dome(patient, side) for side in SIDES) + 0.035
    wide = patient.heart * (1.13 if shot.view == "AP" else 0.98)  # far from the film: larger
    layer.area(curve([(-0.065, -0.1), (-0.058, 0.1), (-0.068, 0.25), (-0.07, 0.42), (-0.06, 1.1),
                       (0.06, 1.1), (0.085, 0.45), (0.07, 0.36), (0.06, 0.1), (0.07, -0.1)],
                      closed=True), 0.86)  # fmt: skip
    layer.area(ellipse(0.058, 0.27, patient.knob, patient.knob), 0.92)
    heart = [(-0.05, -0.33), (-0.075, -0.2), (-0.1 * wide, -0.11), (-0.06, 0.02), (0.08, 0.04),
             (0.2 * wide, -0.01), (0.205 * wide, -0.07), (0.155 * wide, -0.16), (0.095, -0.25),
             (0.06, -0.33)]  # fmt: skip
    layer.area(curve([(x, floor + y) for x, y in heart], closed=True), 0.94)
    return layer.field(0.005)


def _gas(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """The airways, and the stomach's bubble under the left dome, flat below."""
    layer, random = Layer(pose), stream("gas", patient.seed)
    carina = (random.normal(0.004, 0.006), 0.325)
    layer.band(curve([(0, -0.1), carina]), 0.032, 0.4)
    for side in SIDES:
        hilum = patient.hilum(side)
        layer.band(curve([carina, (side * 0.045, hilum[1] - 0.03), hilum]), 0.02, 0.3)
    top, wide, high = shot.dome(patient, 1) + 0.02, *random.uniform([0.04, 0.03], [0.085, 0.06])
    bubble = ellipse(random.uniform(0.14, 0.22), top + high, wide, high)
    level = top + high * random.uniform(1.2, 2.0)
    layer.area(np.minimum(bubble, [1.0, level]), random.uniform(0.3, 0.9))
    return layer.field(0.005)


def _vessels(patient: Patient, pose: Pose) -> Field:
    """Pulmonary vessels, from the hila outward ever thinner."""
    layer, random = Layer(pose), stream("vessels", patient.seed)
    trees = []
    for side in SIDES:
        spread = np.linspace(-1.4, 1.45, 11) + random.normal(0, 0.12, 11)
        angles = spread if side > 0 else np.pi - spread
        trees.append(list(tree(random, patient.hilum(side), angles, 0.095, 4)))
    for level in (3, 2, 1, 0):  # thick ones on top
        for branches in trees:
            layer.lines(branches[level], 0.0095 * 0.7**level, 0.9 * 0.78**level)
    for side in SIDES:
        layer.area(ellipse(*patient.hilum(side), 0.024, 0.038), 0.7)
    return layer.field(0.003)


def _distractors(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """What brightens a picture without being disease, in every class alike."""
    soft, sharp = Layer(pose), Layer(pose)
    random, here = stream("extras", patient.seed), stream("extras", *shot.seeds)
    if patient.sex == "F":
        low, wide, value = random.uniform([0.66, 0.12, 0.3], [0.82, 0.17, 1.0])
        for side in SIDES:
            x = side * 0.235 + random.normal(0, 0.012)
            soft.area(ellipse(x, low - 0.13, wide, 0.14), value)
    if random.random() < 0.12:  # a benign nodule
        spot = random.choice(SIDES) * random.uniform(0.13, 0.28), random.uniform(0.2, 0.6)
        sharp.area(ellipse(*spot, *random.uniform(0.008, 0.014, 2)), 0.4)
    if here.random() < 0.2:  # a thin line of collapsed lung
        side, y = here.choice(SIDES), here.uniform(0.5, 0.64)
        line = [(side * 0.12, y + 0.02), (side * 0.2, y), (side * 0.28, y + 0.03)]
        sharp.lines(curve(line), 0.005, 0.4)
    if here.random() < 0.35:  # electrodes and their leads
        for _ in range(here.integers(2, 5)):
            x, y = here.choice(SIDES) * here.uniform(0.12, 0.36), here.uniform(0.15, 0.75)
            bends = x + here.normal(0, [0.08, 0.15])
            lead = [(x, y), (bends[0], y + 0.12), (bends[1], y + 0.3), (here.normal(0, 0.3), 1.15)]
            sharp.lines(curve(lead), 0.004, 0.5)
            sharp.area(ellipse(x, y, 0.016, 0.016), 0.5)
            sharp.area(ellipse(x, y, 0.008, 0.008), 1.0)
    if here.random() < 0.2:  # a central line
        sharp.lines(curve([(-0.2, 0.05), (-0.1, 0.16), (-0.05, 0.22), (-0.055, 0.42)]), 0.005, 0.6)
    veil = 0.05 * texture(here, 4, pose.grid)  # folds, clothing, an uneven grid
    added: Field = veil + 0.13 * soft.field(0.012) + 0.3 * sharp.field(0.002)
    return added


def _pneumonia(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """One or two soft-edged lobar opacities with air bronchograms: 0 clear to 1 airless."""
    random = stream("pneumonia", patient.seed)
    strength = random.uniform(0.25, 0.8) * stream("pneumonia", *shot.seeds).uniform(0.85, 1.15)
    opacity, airways = np.zeros_like(pose.x), Layer(pose)
    edge, grain = texture(random, 12, pose.grid), texture(random, 40, pose.grid)
    for _ in range(1 + int(random.random() < 0.3)):
        side = int(random.choice(SIDES))
        zone = random.choice([0.3, 0.6, 0.85], p=[0.3, 0.3, 0.4])
        height = 0.12 + (shot.dome(patient, side) - 0.12) * zone
        centre = side * patient.cage(height) * random.uniform(0.42, 0.68), height
        wide, high = random.uniform([0.065, 0.06], [0.125, 0.11])
        away = ((pose.x - centre[0]) / wide) ** 2 + ((pose.y - centre[1]) / high) ** 2
        opacity = np.maximum(opacity, rise(1.3 - away + 0.45 * edge, 0.0, 1.5))
        hilum = patient.hilum(side)
        towards = math.atan2(centre[1] - hilum[1], centre[0] - hilum[0])
        reach = 0.5 * math.dist(centre, hilum) + 0.02
        fan = towards + np.array([-0.35, 0.0, 0.35])
        for level, branches in enumerate(tree(random, hilum, fan, reach, 4)):
            airways.lines(branches, 0.009 * 0.8**level)
    mottled = np.clip(0.88 + 0.14 * grain, 0, 1.2) - 0.4 * airways.field(0.004)
    airless: Field = np.clip(strength * opacity * mottled, 0, 0.95)
    return airless


def _covid(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """Patches of ground glass on both sides, at the rim of lower and middle zones: 0 to 1."""
    random = stream("covid", patient.seed)
    strength = random.uniform(0.3, 0.6) * stream("covid", *shot.seeds).uniform(0.85, 1.15)
    edge, net = texture(random, 18, pose.grid), texture(random, 64, pose.grid)
    patches = np.zeros_like(pose.x)
    for side in SIDES:
        for _ in range(random.integers(4, 8)):
            height = 0.12 + (shot.dome(patient, side) - 0.12) * random.uniform(0.4, 1.0)
            centre = side * patient.cage(height) * random.uniform(0.68, 0.95)
            wide, high = random.uniform([0.035, 0.035], [0.07, 0.085])
            away = ((pose.x - centre) / wide) ** 2 + ((pose.y - height) / high) ** 2
            patches += 0.6 * rise(1.2 - away + 0.6 * edge, 0.0, 2.0)
    return np.clip(strength * np.minimum(patches, 1) * (0.85 + 0.25 * net), 0, 0.9)


def _opacity(key: str, patient: Patient, shot: Shot, pose: Pose) -> Field | float:
    if key == "infected":  # one folder for both, mostly pneumonia
        key = "covid" if stream("infected", patient.seed).random() < 0.2 else "pneumonia"
    if key == "normal":
        return 0.0
    return (_covid if key == "covid" else _pneumonia)(patient, shot, pose)


def regions(
    key: str, patient: Patient, shot: Shot, grid: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Where lung is seen, beside heart and vessels, and where disease fills it: `[grid, grid]`.

    The edge of a lung is where it has half of the air that it has at its most; that of a lesion,
    which fades away, where it has a quarter of its strength.
    """
    pose = Pose(shot, grid)
    air = _lungs(patient, shot, pose) * (1 - _mediastinum(patient, shot, pose))
    opacity = np.broadcast_to(np.asarray(_opacity(key, patient, shot, pose)), air.shape)
    lungs = np.asarray(air > 0.5 * air.max())
    return lungs, np.asarray(lungs & (opacity > 0) & (opacity > 0.25 * opacity.max()))


def attenuation(key: str, patient: Patient, shot: Shot, grid: int) -> Field:
    """How much the rays were attenuated on their way: 0 in free air, about 1 in the abdomen."""
    pose = Pose(shot, grid)
    lungs, body = _lungs(patient, shot, pose), _body(patient, pose)
    filled = _mediastinum(patient, shot, pose)
    random = stream("lungs", *shot.seeds)
    haze = max(0.0, 1.02 - shot.breath) * random.uniform(0, 3.5)  # a shallow breath: hazy bases
    air = lungs * (1 - filled) * (1 - haze * rise(pose.y, 0.38, shot.dome(patient, -1) + 0.03))
    air *= 1 - _opacity(key, patient, shot, pose)
    lace = 0.02 * texture(random, 90, grid)  # vessels and septa too small to be seen one by one
    marks = (0.19 * _vessels(patient, pose) + lace) * air
    added = _ribs(patient, pose) + _bones(patient, pose) + _distractors(patient, shot, pose)
    added += marks + 0.10 * filled * np.minimum(1, 2 * lungs)
    attenuated = body * (1 - 0.72 * air - 0.42 * _gas(patient, shot, pose))
    return np.asarray(attenuated + rise(body, 0.0, 0.3) * added, dtype=np.float32)
