"""``fslice reconstruct``: from particle images to a map with its uncertainty, as files."""

from __future__ import annotations

import argparse
import errno
from pathlib import Path
from typing import Any

from fslice.cli._arguments import (
    add_noise_variance,
    add_output,
    add_symmetry,
    at_least_one,
    command_parser,
    count,
    positive_or_auto,
)
from fslice.cli._assessment import MaskFinder, assess
from fslice.cli._cluster import add_cluster_options, check_cluster_of_fit
from fslice.cli._combinations import check_solver
from fslice.cli._devices import add_device, check_device
from fslice.cli._fits import (
    prepare_fit,
    remove_checkpoints,
    resume_hint,
    run_fit,
    with_own_half_maps,
)
from fslice.cli._inputs import read_inputs
from fslice.cli._messages import recorded
from fslice.cli._outputs import output_folder
from fslice.cli._progress import compilation_notice, fit_bar
from fslice.cli._reading import add_particle_options
from fslice.cli._report import print_report
from fslice.cli._results import NAMES, write_results
from fslice.cli._unknown_poses import (
    add_unknown_poses,
    check_unknown_poses,
    find_unknown_poses,
    lines_of,
    numbers_of,
    write_poses,
)
from fslice.solvers.progress import Reporter

_DESCRIPTION = """\
Reconstruct a map and its uncertainty from particle images, by maximising the evidence lower
bound (ELBO). Their poses are known, or found together with the map (--poses unknown).

Writes into DIR, all files together or none:
  mean.mrc     the map of all images: the posterior's mean
  result.json  resolution, curves, warnings, notes, variances, ELBO, seconds, arguments
  summary.png  slices, mask, resolution, local resolution, views (needs matplotlib)
  mask.mrc     the mask of the FSC: found in the map, or that of --mask
  half1.mrc, half2.mrc  the maps of the two halves, under the prior of all images
  half1_unfil.mrc, half2_unfil.mrc  the same without prior and mask, for deposition
  fsc.xml, fsc.star  their FSC, in EMDB's and in RELION's form
  sigma.mrc    the posterior's standard deviation of every Fourier coefficient, on the
               centred grid (zero frequency at D // 2; voxel size in 1/Angstrom);
               not with --posterior dirac
  voxel_sigma.mrc  with --samples: the posterior's standard deviation of every voxel
  particles.star, poses.npz  with --poses unknown: the particles with the poses that were
               found; all modes with weights and covariances, as in posterior.npz of
               fslice poses
What an earlier run wrote is replaced when this one has succeeded. With --solver adam Ctrl-C
keeps what the finished epochs gave, with --workers or --scheduler sums over part of the images;
--resume goes on from there, to the same result.
"""

_EXAMPLE = """\
  fslice reconstruct run/particles.star -o run/recon --truth run/truth.mrc
  fslice reconstruct Refine3D/job012 -o recon --support auto --samples 8
  fslice reconstruct J42/particles.cs -o recon --mask mask.mrc
  fslice reconstruct particles.star -o recon --poses unknown --symmetry C7
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "reconstruct", run, "make a map from particle images", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "particles",
        metavar="PARTICLES",
        type=Path,
        help="particles with poses: .star (RELION 3.0, 3.1, 5.0) or .cs (cryoSPARC)",
    )
    add_output(parser, required=True, help="folder for the results, made if absent")
    add_particle_options(parser.add_argument_group("the file of particles"))
    add_unknown_poses(parser.add_argument_group("poses"))
    _add_map(parser.add_argument_group("the map"))
    _add_statistics(parser.add_argument_group("prior and noise"))
    _add_evaluation(parser.add_argument_group("resolution and uncertainty"))
    _add_solver(parser.add_argument_group("solver"))
    add_cluster_options(parser.add_argument_group("many processes or machines"))


def _add_statistics(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--posterior",
        choices=("gaussian", "dirac"),
        default="gaussian",
        help="a mean and a standard deviation for every frequency, or a point (default: gaussian)",
    )
    parser.add_argument(
        "--prior-variance",
        type=positive_or_auto,
        metavar="V",
        help="variance of a voxel of the map before anything is seen, in the square of the map's "
        "unit (default: auto, from the power of the images)",
    )
    add_noise_variance(parser)
    parser.add_argument(
        "--noise",
        choices=("white", "shell", "group"),
        default="white",
        help="learn one noise variance, or one for each shell of the images, or that for each "
        "optics group (default: white)",
    )
    parser.add_argument(
        "--robust",
        action="store_true",
        help="leave out images that are far louder than most, and those that the map of the "
        "others does not explain; three passes or more",
    )
    parser.add_argument(
        "--prior",
        choices=("scalar", "shell"),
        help="one prior variance, or one for each shell, learned from the images (default: shell "
        "with --solver exact, else scalar)",
    )


def _add_map(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--support",
        metavar="auto|M.mrc|R",
        help="the map is zero outside this mask, values from 0 to 1, or outside a soft sphere of "
        "this radius in Angstrom; auto: outside the mask that a first solve shows (default: none)",
    )
    parser.add_argument(
        "--oversampling",
        type=at_least_one,
        metavar="F",
        default=1.0,
        help="the map is padded to F times its box: more accurate, F^3 times the memory "
        "(default: 1)",
    )
    add_symmetry(parser, help="point group of the object")


def _add_solver(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--solver",
        choices=("adam", "exact", "wiener"),
        default="exact",
        help="the posterior from the normal equations, one pass over the images; or stochastic "
        "steps; or the conventional weighted back-projection (default: exact)",
    )
    parser.add_argument(
        "--epochs",
        type=count(1),
        metavar="N",
        help="passes over the images at most, with the solver adam, which stops when it has "
        "converged (default: 50)",
    )
    parser.add_argument(
        "--batch-size",
        type=count(1),
        metavar="N",
        help="images in a step, with the solver adam (default: chosen from their number)",
    )
    parser.add_argument(
        "--seed", type=count(0), metavar="N", default=0, help="of everything random (default: 0)"
    )
    add_device(
        parser,
        help="where to compute: the GPU, or with the solver exact all GPUs of the machine "
        "(default: cpu)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from what an interrupted run has left: with the solver adam the last epoch, "
        "with --poses unknown the last round, with --workers or --scheduler sums over part of the "
        "images",
    )


def _add_evaluation(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="V.mrc",
        help="true map of the same box: its FSC with the mean, in the same mask, gives a "
        "resolution at 0.5",
    )
    parser.add_argument(
        "--halves",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit the two halves of the images too, in the same pass (those of the file, else "
        "random ones): their corrected FSC gives the resolution at 0.143 (default: --halves)",
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="M.mrc",
        help="map of the same box, values from 0 to 1, that multiplies the maps before an FSC "
        "(default: found in the map)",
    )
    parser.add_argument(
        "--samples",
        type=count(0),
        metavar="N",
        default=0,
        help="with --solver exact: draws from the posterior, for the deviation of every voxel and "
        "a predicted FSC with its 95%% credible band (default: 0)",
    )
    parser.add_argument(
        "--evidence",
        action="store_true",
        help="with --solver exact: estimate the log probability of the images, by which priors "
        "and supports can be compared",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Reconstruct, write the files, and say what came out."""
    check_solver(arguments)
    check_cluster_of_fit(arguments)
    if arguments.scheduler is None:
        check_device(arguments.device)
    check_unknown_poses(arguments)
    with recorded() as messages, compilation_notice():
        inputs = read_inputs(arguments, messages)
        try:
            with output_folder(arguments.output, NAMES) as staging, fit_bar() as progress:
                prepare_fit(arguments)
                joint = None
                if arguments.poses == "unknown":
                    inputs, joint = find_unknown_poses(arguments, inputs, messages, progress)
                finder = MaskFinder(inputs.pixel_size)
                fit = run_fit(arguments, inputs, finder, progress, messages)
                if joint is not None:
                    fit = with_own_half_maps(fit, arguments, inputs, joint, progress, messages)
                report = Reporter(progress)
                assessment = assess(
                    inputs, fit, finder.mask, messages, report, aligned=joint is not None
                )
                if joint is not None:
                    write_poses(staging, arguments.output, inputs, joint, messages)
                results = write_results(
                    staging, arguments, inputs, fit, assessment, messages, report,
                    {} if joint is None else {"poses": numbers_of(joint)},
                )  # fmt: skip
        except KeyboardInterrupt as interrupt:
            raise type(interrupt)(resume_hint(arguments)) from interrupt
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            what = f"{error.strerror}; {resume_hint(arguments)}"
            raise OSError(error.errno, what, error.filename) from error
    remove_checkpoints(arguments.output)
    if joint is not None:
        print("\n".join(lines_of(joint)))
    print_report(arguments.output, arguments, inputs, fit, assessment, results)
    return {**results, "output": arguments.output}
