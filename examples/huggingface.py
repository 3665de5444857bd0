"""Run an FNet of Hugging Face transformers in bfloat16, which the stock model refuses.

Without --checkpoint the model is a small one with random weights, so that nothing is downloaded.
Prints how far the patched model is from the stock one, in float32 and in bfloat16.

    python examples/huggingface.py
    python examples/huggingface.py --checkpoint google/fnet-base
"""

import argparse

import torch
from transformers import FNetConfig, FNetForMaskedLM

from fnet_kernels import hf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="a folder, or a name on the hub")
    checkpoint = parser.parse_args().checkpoint
    torch.manual_seed(0)
    if checkpoint:
        model = FNetForMaskedLM.from_pretrained(checkpoint)
    else:
        config = FNetConfig(vocab_size=1000, hidden_size=128, intermediate_size=512)
        model = FNetForMaskedLM(config)
    model.eval()  # type: ignore[no-untyped-call]
    tokens = torch.randint(5, 1000, (2, 128))

    with torch.inference_mode():
        stock = model(tokens).logits
        print(hf.patch_fnet(model))
        patched = model(tokens).logits
        half = model.to(torch.bfloat16)(tokens).logits  # type: ignore[arg-type]
    scale = stock.abs().max()
    print(f"float32:  largest difference {(patched - stock).abs().max() / scale:.1e} of the range")
    print(f"bfloat16: largest difference {(half - stock).abs().max() / scale:.1e} of the range")


if __name__ == "__main__":
    main()
