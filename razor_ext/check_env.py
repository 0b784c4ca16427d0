"""Print what is installed, what of it was repaired, the model families, and what is missing.

Run as ``python -m razor_ext.check_env``. Exits with 1 if something required is missing or
unsuitable.
"""
from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rich.console import Console
from rich.table import Table

from razor_ext import __version__, compat
from razor_ext.compat.repair import NOT_IMPORTABLE

if compat.is_usable('mmengine'):
    from razor_ext.engine import families
else:  # reported below; the families need it
    families = None  # type: ignore[assignment]

# Distributions that serve as well as the one required.
ALTERNATIVES = {
    'mmcv-lite': ('mmcv',),
    'opencv-python-headless': ('opencv-python', 'opencv-contrib-python-headless',
                               'opencv-contrib-python'),
}

# requirements/<name>.txt, whether it is required, options of the command that installs from it.
GROUPS = (
    ('runtime', True, ''),
    ('nodeps', True, '--no-deps '),
    ('mminstall', True, '--no-deps '),
    ('tests', False, ''),
    ('tests_nodeps', False, '--no-deps '),
    ('optional', False, ''),
)

GOOD, OTHER, MISSING, UNSUITABLE = 'ok', 'ok, not the tested version', 'missing', 'unsuitable'
STYLES = {GOOD: 'green', OTHER: 'yellow', MISSING: 'red', UNSUITABLE: 'red'}


@dataclass(frozen=True)
class Finding:
    """One required or optional distribution, and what is there of it."""

    name: str
    required: bool
    found: str | None
    tested: str | None
    state: str
    command: str


def requirements_folder() -> Path:
    """Return the requirements: packed with the MIM extension, or those of the source tree."""
    package = Path(__file__).resolve().parent
    packed = package / '.mim' / 'requirements'
    return packed if packed.is_dir() else package.parent / 'requirements'


def read_requirements(path: Path) -> list[Requirement]:
    """Return the requirements in a file that apply to this interpreter.

    Args:
        path: A requirements or constraints file; comments and empty lines are skipped.
    """
    lines = (line.partition('#')[0].strip() for line in path.read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def installed_version(name: str) -> str | None:
    """Return the version of a distribution or of one that serves as well, or None."""
    for candidate in (name, *ALTERNATIVES.get(name, ())):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def pinned_version(requirement: Requirement) -> str | None:
    """Return the version that a requirement pins by ``==``, or None."""
    return next((one.version for one in requirement.specifier if one.operator == '=='), None)


def examine(requirement: Requirement, required: bool, tested: str | None,
            options: str = '') -> Finding:
    """Compare one requirement with what is installed.

    Args:
        requirement: What is wanted. A pin says what was tested; a bound must be met.
        required: Whether the package can be done without.
        tested: The tested version, or None.
        options: Options for ``pip install`` in the command that repairs it.
    """
    pinned = pinned_version(requirement)
    tested = tested or pinned
    found = installed_version(requirement.name)
    if found is None:
        state = MISSING
    elif pinned is None and not requirement.specifier.contains(found, prereleases=True):
        state = UNSUITABLE
    elif tested is not None and Version(found).public != Version(tested).public:
        state = OTHER
    else:
        state = GOOD
    wanted = f'{requirement.name}=={tested}' if tested else str(requirement).partition(';')[0]
    command = '' if state == GOOD else f'pip install {options}"{wanted}"'
    return Finding(requirement.name, required, found, tested, state, command)


def examine_all(folder: Path) -> list[Finding]:
    """Compare every requirement in a requirements folder with what is installed."""
    tested = {canonicalize_name(one.name): pinned_version(one)
              for one in read_requirements(folder / 'constraints.txt')}
    return [
        examine(requirement, required, tested.get(canonicalize_name(requirement.name)), options)
        for group, required, options in GROUPS
        for requirement in read_requirements(folder / f'{group}.txt')
    ]


def describe_machine() -> str:
    """Return one line on the interpreter and what torch can compute on."""
    python = '.'.join(map(str, sys.version_info[:3]))
    if torch.cuda.is_available():
        device = f'{torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    elif torch.version.cuda:
        device = f'CPU only (torch was built for CUDA {torch.version.cuda})'
    else:
        device = 'CPU only (a CPU build of torch)'
    return f'razor_ext {__version__}, Python {python}, torch {torch.__version__}, {device}'


def package_table(findings: list[Finding]) -> Table:
    """Return the table of packages."""
    table = Table(title='Packages')
    for title in ('package', 'found', 'tested', 'state', 'repair it by'):
        table.add_column(title, overflow='fold')
    for one in findings:
        state = one.state if one.required else f'{one.state} (optional)'
        style = STYLES[one.state] if one.required else 'dim'
        table.add_row(one.name, one.found or '-', one.tested or '-', f'[{style}]{state}[/]',
                      one.command)
    return table


def repair_table(repairs: tuple[compat.Repair, ...]) -> Table:
    """Return the table of repairs."""
    table = Table(title='Repairs of upstream packages')
    for title in ('package', 'repair', 'state', 'why'):
        table.add_column(title, overflow='fold')
    for one in repairs:
        why = f'{one.reason} ({one.detail})' if one.detail else one.reason
        table.add_row(one.package, one.name, one.state, why)
    return table


def family_table(records: tuple[families.FamilyRecord, ...]) -> Table:
    """Return the table of model families."""
    table = Table(title='Model families')
    for title in ('family', 'entry point', 'state', 'why'):
        table.add_column(title, overflow='fold')
    for one in records:
        table.add_row(one.name, one.entry_point, one.state, one.detail)
    return table


def family_problems(records: tuple[families.FamilyRecord, ...]) -> list[str]:
    """Return what is wrong with the families, other than packages that are missing."""
    problems = [f'family {one.name} ({one.entry_point}) cannot be imported: {one.detail}; repair '
                'or uninstall the distribution that declares it' for one in records
                if one.state == families.BROKEN]
    return problems + [families.STALE] * families.is_stale(families.find_entry_points())


def main() -> int:
    """Print the tables; return the exit code."""
    console = Console()
    console.print(describe_machine(), highlight=False)
    findings = examine_all(requirements_folder())
    repairs = compat.apply()
    console.print(package_table(findings))
    console.print(repair_table(repairs))
    problems = [f'{one.name} is {one.state}: {one.command}' for one in findings
                if one.required and one.state in (MISSING, UNSUITABLE)]
    problems += [f'{one.package} cannot be imported: {one.detail}' for one in repairs
                 if one.state == NOT_IMPORTABLE]
    if families is not None:
        records = families.load_families()
        console.print(family_table(records))
        problems += family_problems(records)
    for problem in problems:
        console.print(f'[red]{problem}[/]', highlight=False)
    if problems:
        console.print('`bash tools/setup_env.sh` in the source tree repairs all of it.')
        return 1
    console.print('[green]Everything required is there.[/]')
    return 0


if __name__ == '__main__':
    sys.exit(main())
