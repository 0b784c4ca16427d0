"""Packaging of razor_ext, with the extras and the MIM extension of an OpenMMLab project."""
from __future__ import annotations

import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
MIM_ITEMS = ('tools', 'configs', 'requirements', 'model-index.yml')


def read_version() -> str:
    """Return the version string kept in razor_ext/version.py."""
    scope: dict[str, str] = {}
    exec((ROOT / 'razor_ext' / 'version.py').read_text(), scope)
    return scope['__version__']


def requirements(name: str) -> list[str]:
    """Return the requirement lines of requirements/<name>.txt, comments dropped."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def add_mim_extension() -> None:
    """Place tools, configs and the model index under razor_ext/.mim, as `mim` expects.

    A development install gets links, so that edits are seen; a distribution gets copies.
    """
    develop = any(arg in ('develop', 'editable_wheel') for arg in sys.argv)
    target = ROOT / 'razor_ext' / '.mim'
    target.mkdir(exist_ok=True)
    for item in MIM_ITEMS:
        source, place = ROOT / item, target / item
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.is_dir():
            shutil.rmtree(place)
        if develop:
            place.symlink_to(Path('..') / '..' / item)
        elif source.is_dir():
            shutil.copytree(source, place)
        else:
            shutil.copy2(source, place)


if __name__ == '__main__':
    add_mim_extension()
    tests, optional = requirements('tests'), requirements('optional')
    setup(
        name='razor_ext',
        version=read_version(),
        description='GETA and GroupFisher for MMPose and gait models: prune, finetune, deploy',
        long_description=(ROOT / 'README.md').read_text(),
        long_description_content_type='text/markdown',
        python_requires='>=3.9',
        packages=find_packages(include=['razor_ext', 'razor_ext.*']),
        include_package_data=True,
        entry_points={
            'razor_ext.families': [
                'classification = razor_ext.classification.family:FAMILY',
                'detection = razor_ext.detection.family:FAMILY',
                'gait = razor_ext.gait.family:FAMILY',
                'pose = razor_ext.pose.family:FAMILY',
            ],
        },
        install_requires=requirements('runtime') + requirements('nodeps'),
        extras_require={
            'all': requirements('runtime') + requirements('nodeps') + tests + optional,
            'classification': requirements('classification'),
            'tests': tests,
            'optional': optional,
            'mim': requirements('mminstall'),
        },
        license='Apache License 2.0',
        zip_safe=False,
    )
