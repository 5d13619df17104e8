"""The package that parses STAR, PDB and mmCIF, imported only where it is used."""

from __future__ import annotations

from types import ModuleType


def import_gemmi(purpose: str) -> ModuleType:
    """Return the module, or raise an ImportError with the command that installs it."""
    try:
        import gemmi
        import gemmi.cif
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package gemmi, which is missing: pip install gemmi"
        ) from error
    return gemmi
