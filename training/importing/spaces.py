"""The networks of a latent space, from an encoder and a decoder."""

from collections.abc import Callable

from training.importing.contract import (
    ContractNetwork,
    complete,
    wrap_decoder,
    wrap_encoder,
    wrap_vae_encoder,
)
from training.importing.forms.codes import (
    Variance,
    find_variance,
    guess_variance,
    to_log_variance,
)
from training.importing.forms.formats import Floats
from training.importing.graphs.torchscript import Conversion, images_out
from training.importing.pairs import Pair


def import_autoencoder(pair: Pair) -> tuple[ContractNetwork, ContractNetwork]:
    """Return the encoder and the decoder of the space `autoencoder`."""
    encoder = complete(
        "encoder",
        (pair.files[0], pair.encoder),
        wrap_encoder(pair.encoder, pair.source, pair.choice.source, pair.choice.code),
        pair.images,
        reference=lambda images: [pair.latents(images)],
        conversion=pair.convert_codes([pair.choice.code]),
        latent_shape=pair.latent_shape,
    )
    return encoder, import_decoder(pair, "decoder")


def import_vae_encoder(
    pair: Pair, variance: Variance | None, report_progress: Callable[[str], None]
) -> ContractNetwork:
    """Return the encoder of the space `vae`.

    Raises:
        ModelImportError: the output with the variance is not clear.
    """
    outputs = pair.encode(pair.images)
    other = find_variance(pair.choice.code, pair.codes, outputs)
    means, values = pair.choice.code.select(outputs), other.select(outputs)
    kind, reason = (variance, "as set") if variance else guess_variance(other, means, values)
    report_progress(
        f"VAE: mean {pair.choice.code.describe()}, {kind} {other.describe()} ({reason})"
    )

    def reference(images: Floats) -> list[Floats]:
        found = pair.encode(images)
        flat = [code.select(found).reshape(len(images), -1) for code in (pair.choice.code, other)]
        return [flat[0], to_log_variance(flat[1], kind)]

    return complete(
        "vae_encoder",
        (pair.files[0], pair.encoder),
        wrap_vae_encoder(
            pair.encoder, pair.source, pair.choice.source, (pair.choice.code, other), kind
        ),
        pair.images,
        reference=reference,
        conversion=pair.convert_codes([pair.choice.code, other], kind),
        latent_shape=pair.latent_shape,
    )


def import_decoder(pair: Pair, name: str) -> ContractNetwork:
    """Return the decoder, as `decoder` or `vae_decoder`."""
    return complete(
        "decoder" if name == "decoder" else "vae_decoder",
        (pair.files[1], pair.decoder),
        wrap_decoder(
            pair.decoder, pair.code_shape, pair.target, pair.choice.target, pair.decoder.outputs[0]
        ),
        pair.latents(pair.images),
        reference=lambda latents: [pair.decode(latents)],
        conversion=Conversion(
            lambda latents: latents.reshape(-1, *pair.code_shape),
            images_out(pair.target, pair.choice.target),
        ),
    )
