"""Where generated latents come from, and how good the samples are."""
