"""Has the ONNX Runtime compute what redknot computed.

    pip install numpy onnx onnxruntime
    cargo run -p redknot-gnn --example layers_onnx --features onnx,gnn-all,train -- DIR
    python check_layers.py DIR
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

RELATIVE = 1e-5


def main():
    folder = Path(sys.argv[1])
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    wrong = 0
    for path in sorted(folder.glob("*.onnx")):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        inputs = {i.name: np.load(folder / f"{path.stem}.{i.name}.npy") for i in session.get_inputs()}
        expected = np.load(folder / f"{path.stem}.expected.npy")
        (got,) = session.run(["y"], inputs)
        off = np.abs(got - expected).max() / np.abs(expected).max()
        wrong += not off <= RELATIVE
        print(f"{path.stem:20} {', '.join(inputs):32} {off:.1e} {'' if off <= RELATIVE else 'WRONG'}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
