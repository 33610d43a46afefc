"""`latentd import`: serve networks that were trained elsewhere."""

import argparse
import shlex
import tempfile
from pathlib import Path

from training.commands.console import print_bundle, print_metrics, run_command
from training.commands.flags import add_store, make_parser
from training.data.datasets import list_datasets
from training.importing.forms.codes import VARIANCES
from training.importing.forms.formats import parse_scale
from training.importing.importer import ROLES, import_networks
from training.importing.options import ImportOptions

_VALUE_FLAGS = ("--pixels", "--output-pixels")
_HELP = {
    "encoder": "network from images to codes",
    "decoder": "network from codes to images",
    "autoencoder": "one network from images to images, which is cut at its code",
    "vae_encoder": "network from images to mean and variance",
    "vae_decoder": "network from codes to images",
    "classifier": "network from images to logits or probabilities",
    "denoiser": "network from noisy images to images",
}


def import_model(arguments: list[str]) -> int:
    """Publish networks that were trained elsewhere as the next version of a bundle."""
    return run_command(lambda: _import(make_import_parser().parse_args(_join(arguments))))


def make_import_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd import`."""
    parser = make_parser(
        "import",
        "Publish networks that were trained elsewhere: ONNX, TorchScript or torch.export files.",
    )
    add = parser.add_argument
    add("name", help="the bundle's name")
    for role in ROLES:
        add(f"--{role.replace('_', '-')}", type=Path, metavar="FILE", help=_HELP[role])
    add(
        "--data",
        required=True,
        metavar="FOLDER|FILE|NAME",
        help=f"a folder of images, a .npy or .npz file, or one of {', '.join(list_datasets())}",
    )
    add(
        "--data-root", type=Path, default="data", metavar="DIR", help="folder of built-in data sets"
    )
    add("--classes", type=Path, metavar="FILE", help="class names, one per line, in output order")
    for flag, direction in zip(_VALUE_FLAGS, ("take", "return"), strict=True):
        add(
            flag,
            metavar="RANGE",
            help=f"pixels that the networks {direction}: 0..1, -1..1, 0..255 or MEAN,STD "
            "(default: tried on the images)",
        )
    add("--layout", choices=("nchw", "nhwc"), help="order of dimensions (default: from the shapes)")
    add(
        "--image-size",
        type=_parse_size,
        metavar="HxW",
        help="pixels, if the network takes any size",
    )
    add("--variance", choices=VARIANCES, help="second output of the VAE encoder (default: found)")
    add("--max-images", type=int, metavar="N", help="images to fit and measure with at most")
    add("--seed", type=int, default=0, metavar="N", help="seed of the split and of all draws")
    add("--dry-run", action="store_true", help="print the decisions, publish nothing")
    add_store(parser)
    return parser


def _import(flags: argparse.Namespace) -> None:
    options = ImportOptions(
        name=flags.name,
        data=flags.data,
        data_root=flags.data_root,
        command=describe_command(flags),
        **{role: getattr(flags, role) for role in ROLES},
        classes=flags.classes,
        layout=flags.layout,
        image_size=flags.image_size,
        variance=flags.variance,
        max_images=flags.max_images,
        seed=flags.seed,
        pixels=flags.pixels and parse_scale(flags.pixels),
        output_pixels=flags.output_pixels and parse_scale(flags.output_pixels),
    )
    with tempfile.TemporaryDirectory() as scratch:
        published = import_networks(
            options, flags.store, Path(scratch), print, dry_run=flags.dry_run
        )
    if published is None:
        print("not published: --dry-run")
        return
    trained, bundle = published
    print_metrics(trained.evaluation.metrics)
    print_bundle(bundle, flags.store)


def describe_command(flags: argparse.Namespace) -> str:
    """Return the command line for the provenance, without folders of this machine."""
    words = ["latentd", "import", flags.name]
    for name in (*ROLES, "classes", "data"):
        if (value := getattr(flags, name)) is not None:
            words += [f"--{name.replace('_', '-')}", Path(value).name]
    for name in ("pixels", "output_pixels", "layout", "variance", "max_images", "seed"):
        if (value := getattr(flags, name)) is not None:
            words += [f"--{name.replace('_', '-')}={value}"]
    if flags.image_size:
        words += ["--image-size", "x".join(str(size) for size in flags.image_size)]
    return shlex.join(words)


def _join(arguments: list[str]) -> list[str]:
    """Join a range to its flag: argparse would take `-1..1` for another flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _VALUE_FLAGS:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parse_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 64x48, got {text!r}")
    return int(height), int(width)
